"""The agent's thread that tells people: nobody waits for it, and it loads nothing that it does not need."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from idling import TUESDAY, local, run_now
from rig import wait_until

from gpuwatch.agent.alerting import Alerting, alerting_of, clocks_of
from gpuwatch.agent.elsewhere import PATIENCE_SECONDS, Elsewhere
from gpuwatch.agent.settings import Settings
from gpuwatch.agent.telling import Telling, Way
from gpuwatch.alert.letters import letters_of
from gpuwatch.alert.message import Terms
from gpuwatch.alert.plan import Minute, Open, Step
from gpuwatch.alert.policy import AlertPolicy
from gpuwatch.alert.subject import Subject, subjects
from gpuwatch.alert.workspace import Workspace
from gpuwatch.errors import PrometheusError, UsageError
from gpuwatch.model.judgement import OK
from gpuwatch.model.notice import CLOSED, ELSEWHERE, HELD_BACK, SENT, SHADOW, Notice
from gpuwatch.model.outbox import POST, QUEUED, Letter
from gpuwatch.report.policy import Policy
from gpuwatch.state.notices import Notices
from gpuwatch.state.notices_file import NoticesFile
from gpuwatch.state.outbox import Outbox
from gpuwatch.units import HOUR, MINUTE


def settings(directory: Path, mode: str = "shadow", **changes: str) -> Settings:
    return Settings(node="n1", state_directory=directory, alert=AlertPolicy(mode=mode, **changes))  # type: ignore[arg-type]


def alerting(directory: Path) -> Alerting:
    found = alerting_of(settings(directory), read_unix=lambda: TUESDAY)
    assert found is not None
    return found


def counted(thread: Alerting, outcome: str) -> int | None:
    return None if thread.totals is None else thread.totals[outcome]


def notices(directory: Path) -> list[Notice]:
    with closing(NoticesFile(directory, unix=TUESDAY)) as file:
        return Notices(file).open()


def test_what_was_handed_over_is_noted_before_the_end(tmp_path: Path) -> None:
    thread = alerting(tmp_path)
    thread.start()
    thread.take((run_now(),), TUESDAY)
    thread.stop(10)
    (notice,) = notices(tmp_path)
    assert (notice.outcome, notice.told) == (SHADOW, 1)
    assert counted(thread, SHADOW) == 1
    assert counted(thread, CLOSED) == 0


def test_it_goes_on_where_the_one_before_it_ended(tmp_path: Path) -> None:
    for number in range(3):
        thread = alerting(tmp_path)
        thread.start()
        thread.take((run_now(minutes=45 + number),), TUESDAY + number * MINUTE)
        thread.stop(10)
        assert counted(thread, SHADOW) == 1
    assert len(notices(tmp_path)) == 1


def test_a_slow_slack_keeps_nobody_waiting_and_the_newest_minute_counts(tmp_path: Path) -> None:
    at_it, go_on, told = threading.Event(), threading.Event(), []

    def deliver(_: Outbox, __: float) -> float:
        at_it.set()
        go_on.wait(30)
        return 3600.0

    class Noted(Telling):
        def tell(self, minute: Minute) -> list[Step]:
            told.append(minute.now_unix)
            return super().tell(minute)

    def telling(file: NoticesFile) -> Telling:
        return Noted(Notices(file), Outbox(file), AlertPolicy(), local=local, place="n1")

    thread = Alerting(telling, tmp_path, deliver=deliver, read_unix=lambda: TUESDAY)
    thread.start()
    thread.take((), TUESDAY - MINUTE)
    assert at_it.wait(30)
    for number in range(100):
        thread.take((run_now(),), TUESDAY + number * MINUTE)
    go_on.set()
    thread.stop(30)
    assert told == [TUESDAY - MINUTE, TUESDAY + 99 * MINUTE]


def test_after_a_restart_nothing_is_sent_before_it_is_known_what_goes_on(tmp_path: Path) -> None:
    """A letter of the run that has ended meanwhile is taken back."""
    with closing(NoticesFile(tmp_path, unix=TUESDAY)) as file:
        way = Way(lambda step, earlier, now: letters_of(step, earlier, terms=Terms(), now_unix=now))
        policy = AlertPolicy(mode="agent")
        Telling(Notices(file), Outbox(file), policy, local=local, place="n1", way=way).tell(
            Minute(TUESDAY, (run_now(),))
        )
        assert Outbox(file).next_letter(TUESDAY) is not None
    found: list[Letter | None] = []

    def deliver(outbox: Outbox, unix: float) -> float:
        found.append(outbox.next_letter(unix))
        return 3600.0

    def telling(file: NoticesFile) -> Telling:
        return Telling(Notices(file), Outbox(file), policy, local=local, place="n1", way=way)

    thread = Alerting(telling, tmp_path, deliver=deliver, read_unix=lambda: TUESDAY + HOUR)
    thread.start()
    wait_until(lambda: thread.totals is not None, seconds=10, what="the thread is at it")
    thread.take((), TUESDAY + HOUR)
    thread.stop(10)
    assert found == [None]


def test_a_disk_that_refuses_is_told_and_used_again_when_it_is_mended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    directory = tmp_path / "state"
    thread = alerting(directory)
    thread.start()
    wait_until(lambda: thread.problem != "", seconds=10, what="the problem is told")
    assert "nobody is told of anything until that is mended" in caplog.text
    directory.mkdir()
    thread.take((run_now(),), TUESDAY)
    wait_until(lambda: counted(thread, SHADOW) == 1, seconds=10, what="the notice is kept")
    thread.stop(10)
    assert thread.problem == ""
    assert "people are told again" in caplog.text


def test_what_breaks_in_one_minute_ends_no_other(tmp_path: Path) -> None:
    def deliver(_: Outbox, __: float) -> float:
        if len(broken) < 2:
            broken.append(1)
            raise ZeroDivisionError("a bug")
        return 3600.0

    broken: list[int] = []

    def telling(file: NoticesFile) -> Telling:
        return Telling(Notices(file), Outbox(file), AlertPolicy(), local=local, place="n1")

    thread = Alerting(telling, tmp_path, deliver=deliver, read_unix=lambda: TUESDAY)
    thread.start()
    thread.take((), TUESDAY - MINUTE)
    wait_until(lambda: thread.problem == "ZeroDivisionError: a bug", seconds=10, what="the problem is told")
    thread.take((run_now(),), TUESDAY)
    wait_until(lambda: len(broken) == 2, seconds=10, what="the next minute breaks too")
    thread.take((run_now(),), TUESDAY + MINUTE)
    wait_until(lambda: thread.problem == "", seconds=10, what="it works again")
    thread.stop(10)
    assert counted(thread, SHADOW) == 1


@pytest.mark.parametrize("mode", ["off", "fleet"])
def test_where_this_agent_tells_nobody_there_is_no_thread(mode: str, tmp_path: Path) -> None:
    assert alerting_of(settings(tmp_path, mode), read_unix=lambda: TUESDAY) is None


def test_in_shadow_mode_nothing_is_loaded_that_knows_slack_or_a_server() -> None:
    script = (
        "import sys; from pathlib import Path; from gpuwatch.agent.alerting import alerting_of;"
        "from gpuwatch.agent.settings import Settings;"
        "assert alerting_of(Settings(state_directory=Path('/none')), read_unix=float) is not None;"
        "print([name for name in sys.modules if name.startswith("
        "('slack_sdk', 'gpuwatch.alert.message', 'gpuwatch.alert.slack', 'gpuwatch.report.prometheus', 'zoneinfo'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_nobody_is_sent_what_is_simulated(tmp_path: Path) -> None:
    thread = alerting_of(settings(tmp_path, "agent"), read_unix=lambda: TUESDAY, simulated=True)
    assert thread is not None
    thread.start()
    thread.take((run_now(),), TUESDAY)
    thread.stop(10)
    assert [notice.outcome for notice in notices(tmp_path)] == [SHADOW]


def test_where_names_are_withheld_nobody_is_named_in_the_channel() -> None:
    told = Settings(slack=Workspace(channel="#gpus"))
    assert told.slack_of_notices == told.slack
    assert replace(told, policy=Policy(names="team")).slack_of_notices == replace(told.slack, channel="")


def test_a_zone_that_is_none_is_told() -> None:
    with pytest.raises(UsageError, match=r"alert\.time_zone is 'Mars/Olympus', and must be a time zone"):
        clocks_of(AlertPolicy(time_zone="Mars/Olympus"))
    assert str(clocks_of(AlertPolicy(time_zone="Europe/Berlin"))) == "Europe/Berlin"


# What other nodes say.


def said(node: str, verdict: str, run: str = "wandb:a", user: str = "ann") -> dict[str, str]:
    return {"node": node, "verdict": verdict, "run": run, "user": user}


def why_not(labels: Sequence[dict[str, str]], node: str = "n5") -> str:
    asked: list[Sequence[str]] = []

    def ask(runs: Sequence[str], _: float) -> Sequence[dict[str, str]]:
        asked.append(runs)
        return labels

    subject = subjects([run_now()])[0]
    found = Elsewhere(ask, node)([subject], TUESDAY)
    assert asked == [["wandb:a"]]
    return found.get(subject.key, "")


def test_the_first_node_tells_for_all() -> None:
    assert why_not([said("n5", "idle"), said("n3", "idle"), said("n9", "stuck")]) == "n3 tells of it"
    assert why_not([said("n5", "idle"), said("n7", "idle")]) == ""
    assert why_not([]) == ""


def test_a_run_that_is_snoozed_anywhere_is_quiet() -> None:
    assert why_not([said("n7", "snoozed"), said("n5", "idle")]) == "snoozed on n7"


def test_another_run_or_person_of_the_same_name_is_another() -> None:
    assert why_not([said("n3", "idle", user="ben"), said("n3", "snoozed", run="wandb:b")]) == ""


def test_of_an_array_only_what_another_node_tells_is_not_told_here() -> None:
    whole = subjects(
        [run_now("slurm:1_1", group="1"), run_now("slurm:1_2", group="1"), run_now("slurm:1_3", group="1", verdict=OK)]
    )
    (about,) = whole
    snoozed = [said("n7", "snoozed", run="slurm:1_1"), said("n3", "idle", run="slurm:1_3")]
    assert Elsewhere(lambda *_: snoozed, "n5")(whole, TUESDAY) == {}
    both = [*snoozed, said("n3", "idle", run="slurm:1_2")]
    assert Elsewhere(lambda *_: both, "n5")(whole, TUESDAY) == {about.key: "snoozed on n7"}


def test_each_silence_of_a_server_is_waited_for() -> None:
    def ask(_: Sequence[str], __: float) -> Sequence[dict[str, str]]:
        raise PrometheusError("no")

    subject, asking = subjects([run_now()])[0], Elsewhere(ask, "n5")
    assert asking([subject], TUESDAY) != {}
    assert asking([subject], TUESDAY + 5 * HOUR) != {}


def test_a_server_that_does_not_answer_is_waited_for_but_not_for_ever() -> None:
    def ask(_: Sequence[str], __: float) -> Sequence[dict[str, str]]:
        raise PrometheusError("no")

    subject, asking = subjects([run_now()])[0], Elsewhere(ask, "n5")
    assert "does not say" in asking([subject], TUESDAY)[subject.key]
    assert subject.key in asking([subject], TUESDAY + PATIENCE_SECONDS - 1)
    assert asking([subject], TUESDAY + PATIENCE_SECONDS) == {}


def test_what_another_node_tells_is_asked_once_it_is_due_and_held_back(tmp_path: Path) -> None:
    asked: list[float] = []

    def elsewhere(subjects: Sequence[Subject], unix: float) -> dict[str, str]:
        asked.append(unix)
        return {} if unix > TUESDAY + HOUR else {subject.key: "n0 tells of it" for subject in subjects}

    with closing(NoticesFile(tmp_path, unix=TUESDAY)) as file:
        telling = Telling(
            Notices(file), Outbox(file), AlertPolicy(mode="agent"), local=local, place="n1",
            way=Way(lambda *_: (), ask_elsewhere=elsewhere),
        )  # fmt: skip
        telling.tell(Minute(TUESDAY - HOUR, (run_now(minutes=16),)))
        assert asked == []
        telling.tell(Minute(TUESDAY, (run_now(),)))
        assert [(one.outcome, one.held) for one in Notices(file).open()] == [(HELD_BACK, ELSEWHERE)]
        (step,) = telling.tell(Minute(TUESDAY + 2 * HOUR, (run_now(),)))
        assert isinstance(step, Open)
        telling.tell(Minute(TUESDAY + 2 * HOUR + MINUTE, (run_now(),)))
        telling.tell(Minute(TUESDAY + 2 * HOUR + 2 * MINUTE, (run_now(verdict=OK),)))
        assert asked == [TUESDAY, TUESDAY + 2 * HOUR]


def test_what_slack_does_not_take_waits_on_the_disk(tmp_path: Path) -> None:
    to_channel = replace(settings(tmp_path, "agent"), slack=Workspace(channel="#gpus"))
    thread = alerting_of(to_channel, read_unix=lambda: TUESDAY)
    assert thread is not None
    thread.start()
    thread.take((run_now(),), TUESDAY)
    thread.stop(30)
    with closing(NoticesFile(tmp_path, unix=TUESDAY)) as file:
        letter = Outbox(file).next_letter(TUESDAY + HOUR)
        assert letter is not None
        assert (letter.action, letter.user, letter.state) == (POST, "ann", QUEUED)
        assert "8 GPUs" in letter.text
        assert "slack.token_file" in Outbox(file).problem()
        assert [notice.outcome for notice in Notices(file).open()] == [SENT]
