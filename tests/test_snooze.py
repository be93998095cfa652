"""Idleness that is meant: who may say so of which run, for how long, how it is kept, and what an environment says."""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from doorway import NOW_UNIX, doorway, say, say_as
from hypothesis import given
from hypothesis import strategies as st
from node import environment, node, program

from gpuwatch.agent.complaints import Complaints
from gpuwatch.agent.peer import Peer
from gpuwatch.agent.registry import Registry
from gpuwatch.agent.request import Wish, parse_request
from gpuwatch.agent.snoozes import FILE_NAME, MOST, MOST_OF_A_USER, SnoozeRegistry, SnoozesFile, load
from gpuwatch.agent.wishes import Wishes
from gpuwatch.attribute.case import Case, Site, Traces
from gpuwatch.attribute.expectation import LONGEST_SECONDS, expected_idleness, parse_expectation
from gpuwatch.attribute.people import People
from gpuwatch.attribute.resolver import Resolver
from gpuwatch.attribute.text import clean
from gpuwatch.explicit import message
from gpuwatch.model import Identity, Lineage, Owner, Process
from gpuwatch.model.judgement import Snooze
from gpuwatch.model.notice import Notice
from gpuwatch.state.notices import Notices
from gpuwatch.state.notices_file import NoticesFile
from gpuwatch.units import parse_duration

ME = getpass.getuser()
ANN_UID = 12345
ANN = f"uid:{ANN_UID}"
RUN, ANNS = Owner(ME, "vision", "wandb:x1"), Owner(ANN, "nlp", "named:resnet-1")
HOURS = 3600


class Here:
    """An agent's door, in this process."""

    def __init__(self, folder: Path) -> None:
        self.owners = [RUN, ANNS, Owner(ME, "vision", "short")]
        self.registry = SnoozeRegistry()
        self.file = SnoozesFile(self.registry, folder)
        self.folder = folder
        self.at = folder / "agent.sock"
        self.wishes = Wishes(
            self.file,
            Complaints(folder, read_unix=lambda: NOW_UNIX),
            people=People({}),
            read_owners=lambda: self.owners,
            read_unix=lambda: NOW_UNIX,
            facts={"node": "n7", "is_shared": False},
        )

    def snoozes(self, owner: Owner) -> Snooze | None:
        """The snooze of a run as the judge gets it."""
        return self.registry.of(self.owners, {}).get((owner.user, owner.run))


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    agent = Here(tmp_path)
    with doorway(Registry(), agent.at, grant=agent.wishes.grant):
        yield agent


def asked(here: Here, *arguments: str) -> tuple[int, str, str]:
    """How `gpuwatch snooze` ended, what it printed, and what it said was wrong."""
    done = subprocess.run(
        [sys.executable, "-m", "gpuwatch", "snooze", *arguments],
        env=environment(here.folder) | {"GPUWATCH_SOCKET": str(here.at), "TZ": "UTC"},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


# The command.


def test_a_run_is_snoozed_with_a_reason_and_an_end(here: Here) -> None:
    status, output, errors = asked(here, "x1", "--for", "2h", "--reason", "waiting \x1b[2Jfor\u202e labels")
    assert (status, errors) == (0, "")
    assert output.splitlines() == [
        "wandb:x1 is snoozed until 2026-09-21 16:13+00:00 on n7",
        "no Prometheus is configured to tell its other nodes, if it has any: there, "
        "gpuwatch snooze wandb:x1 --for 2h --reason 'waiting [2Jfor labels'",
    ]
    assert here.snoozes(RUN) == Snooze("wandb:x1", NOW_UNIX + 2 * HOURS, "waiting [2Jfor labels", ME)
    assert here.snoozes(ANNS) is None
    assert load(here.folder / FILE_NAME) == here.registry.entries
    assert asked(here, "wandb:x1", "--off") == (0, "wandb:x1 is not snoozed any more\n", "")
    snooze = here.snoozes(RUN)
    assert snooze is not None
    assert snooze.until_unix <= NOW_UNIX


def test_a_job_over_several_nodes_is_told_how_to_be_snoozed_on_all(here: Here) -> None:
    here.owners = [Owner(ME, "", "slurm:alps/4711_3")]
    _, output, _ = asked(here, "slurm:alps/4711_3", "--for", "30m", "--reason", "it's meant")
    assert output.splitlines()[1] == (
        "no Prometheus is configured to tell its other nodes, if it has any: srun --jobid=4711_3 --overlap "
        """--ntasks-per-node=1 gpuwatch snooze slurm:alps/4711_3 --for 30m --reason 'it'"'"'s meant'"""
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("x1",), "a snooze needs --for and --reason"),
        (("x1", "--for", "2h"), "a snooze needs --for and --reason"),
        (("x1", "--for", "2h", "--reason", "\u202e"), "a snooze needs --for and --reason"),
        (("x1", "--for", "2", "--reason", "x"), "a length of time is a number with m, h or d"),
        (("x1", "--for", "15d", "--reason", "x"), "14d at most"),
        (("x1", "--off", "--wrong"), "give one of them"),
        (("x1", "--off", "--for", "2h"), "--off goes with nothing else"),
        (("x1", "--wrong", "--for", "2h"), "--wrong with --reason alone"),
        (("y", "--for", "2h", "--reason", "x"), "the agent refused: there is no run y on the GPUs of this node"),
        (("short", "--for", "2h", "--reason", "x"), "there is no run short"),
        (("x1", "--wrong"), "there is no run x1 of which anybody was told"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(here: Here, arguments: tuple[str, ...], reason: str) -> None:
    status, output, errors = asked(here, *arguments)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert reason in errors
    assert not here.registry.entries


def test_the_last_notice_is_marked_as_wrong_and_nothing_is_snoozed(here: Here) -> None:
    notice = Notice("n1", f"{ME}/x1", ME, "idle", (RUN.run,), ("n7",), NOW_UNIX, "shadow", "idle for 30 min", told=1)
    file = NoticesFile(here.folder, unix=NOW_UNIX)
    Notices(file).record([notice])
    here.owners = []  # it has ended meanwhile
    marked = (0, "the last notice about wandb:x1 is marked as a false alarm\n", "")
    assert asked(here, "x1", "--wrong", "--reason", "it trains") == marked
    assert Notices(file).open()[0].wrong == "it trains"
    file.close()
    assert not here.registry.entries


# At the door.


def wish(what: str, run: str, **more: Any) -> dict[str, Any]:
    return {what: run, **more}


def test_people_speak_for_their_own_runs_and_root_for_all(here: Here) -> None:
    snooze = {"seconds": HOURS, "reason": "meant"}
    refused = say_as(ANN_UID, here.at, wish("snooze", "x1", **snooze))
    assert refused == {"error": f"x1 is no run of {ANN}: people speak for their own runs, and root for all"}
    assert not here.registry.entries
    assert say_as(ANN_UID, here.at, wish("snooze", "named:resnet-1", **snooze))["run"] == "named:resnet-1"
    assert here.snoozes(ANNS) == Snooze("named:resnet-1", NOW_UNIX + HOURS, "meant", ANN)
    assert say(here.at, wish("snooze", "resnet-1", **snooze))["ok"]
    assert here.registry.entries[ANN, "named:resnet-1"].by == ME
    refused = say_as(ANN_UID, here.at, wish("unsnooze", "x1"))
    assert "no run of" in refused["error"]


def test_from_inside_a_container_nothing_is_said_of_runs(here: Here) -> None:
    answer = say_as(
        0, here.at, wish("snooze", "x1", seconds=HOURS, reason="x"), "unshare", "--pid", "--fork", "--kill-child"
    )
    assert answer == {"error": "from inside a container nothing can be said of runs: say it on the node itself"}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"snooze": "x1", "seconds": HOURS}, "a snooze needs a reason"),
        ({"snooze": "x1", "seconds": True, "reason": "x"}, "seconds must be"),
        ({"snooze": "x1", "seconds": 14 * 86400 + 1, "reason": "x"}, "seconds must be"),
        ({"snooze": "x1", "seconds": 1.5, "reason": "x"}, "seconds must be"),
        ({"snooze": ["x1"], "seconds": 1, "reason": "x"}, "snooze must be text"),
        ({"snooze": "\u202e", "seconds": 1, "reason": "x"}, "snooze must be the name of a run"),
        ({"unsnooze": "x1", "reason": "x"}, "a message to unsnooze is a JSON object with unsnooze"),
        ({"wrong": "x1", "unsnooze": "x1"}, "a message to unsnooze"),
        ({"snooze": "x1", "pid": 1}, "a message to snooze"),
    ],
)
def test_what_is_no_wish_is_refused(here: Here, document: dict[str, Any], reason: str) -> None:
    assert reason in say(here.at, document)["error"]
    assert not here.registry.entries


def test_an_agent_of_a_simulated_node_takes_none(tmp_path: Path) -> None:
    with doorway(Registry(), tmp_path / "s"):
        assert say(tmp_path / "s", {"unsnooze": "x1"}) == {"error": "this agent takes registrations alone"}


@given(run=st.text(min_size=1, max_size=300), reason=st.text(max_size=300), seconds=st.integers(1, LONGEST_SECONDS))
def test_whatever_is_said_of_a_run_is_understood_or_refused(run: str, reason: str, seconds: int) -> None:
    try:
        understood = parse_request(message.snooze(run, seconds=seconds, reason=reason), unix=NOW_UNIX)
    except ValueError as error:
        assert "name of a run" in str(error) or "needs a reason" in str(error)
    else:
        assert isinstance(understood, Wish)
        assert understood.seconds == seconds
        assert clean(understood.reason) == understood.reason


def test_two_of_one_name_are_asked_about(here: Here) -> None:
    here.owners = [Owner(ANN, "", "named:a-1"), Owner(ME, "", "named:a-1"), Owner(ANN, "", "wandb:a-1")]
    answer = here.wishes.grant
    with pytest.raises(ValueError, match=f"a-1 may be .*named:a-1 of {ANN} or .*wandb:a-1 of {ANN}"):
        answer(Peer(os.getpid(), ANN_UID), Wish("unsnooze", "a-1"))


# What is in force.


def snooze(run: str, until: float = NOW_UNIX + HOURS, by: str = ME) -> Snooze:
    return Snooze(run, until, "meant", by)


def test_nobody_snoozes_or_wakes_the_run_of_another_who_calls_theirs_the_same() -> None:
    registry = SnoozeRegistry()
    mine, anns = Owner(ME, "", "named:a-1"), Owner(ANN, "", "named:a-1")
    registry.enter(ANN, snooze("named:a-1"), unix=NOW_UNIX)
    assert registry.of([anns], {}) == registry.of([mine, anns], {}) == {(ANN, "named:a-1"): snooze("named:a-1")}
    assert registry.of([mine], {}) == {}


def test_a_command_counts_more_than_the_environment() -> None:
    registry, said = SnoozeRegistry(), {(ME, "wandb:x1"): snooze("wandb:x1", NOW_UNIX + 9 * HOURS)}
    assert registry.of([RUN], said) == said
    registry.end(ME, "wandb:x1", by=ME, unix=NOW_UNIX)
    assert registry.of([RUN], said)[ME, "wandb:x1"].until_unix == NOW_UNIX
    registry.enter(ME, snooze("wandb:x1"), unix=NOW_UNIX)
    assert registry.of([RUN], said)[ME, "wandb:x1"].until_unix == NOW_UNIX + HOURS


def test_the_same_comes_back_until_somebody_says_something_new() -> None:
    registry = SnoozeRegistry()
    registry.enter(ME, snooze("wandb:x1"), unix=NOW_UNIX)
    first = registry.of({RUN: 1}.keys(), {})
    assert registry.of([RUN], {}) is first
    registry.enter(ME, snooze("wandb:x1", NOW_UNIX + 2 * HOURS), unix=NOW_UNIX)
    assert registry.of([RUN], {}) != first


def test_there_is_room_for_so_many_and_what_is_over_makes_it() -> None:
    registry = SnoozeRegistry()
    for number in range(MOST_OF_A_USER):
        registry.enter(ME, snooze(f"named:{number}"), unix=NOW_UNIX)
    with pytest.raises(ValueError, match=f"{MOST_OF_A_USER} snoozed runs of {ME}"):
        registry.enter(ME, snooze("named:x"), unix=NOW_UNIX)
    registry.enter(ME, snooze("named:1", NOW_UNIX + 9 * HOURS), unix=NOW_UNIX)  # said again
    registry.enter(ME, snooze("named:x"), unix=NOW_UNIX + 2 * HOURS)
    assert registry.entries.keys() == {(ME, "named:1"), (ME, "named:x")}
    for number in range(MOST - 2):
        registry.enter(f"u{number}", snooze("named:y"), unix=NOW_UNIX)
    with pytest.raises(ValueError, match="in all"):
        registry.enter("one more", snooze("named:y"), unix=NOW_UNIX)


def test_what_is_long_over_is_forgotten() -> None:
    registry = SnoozeRegistry()
    registry.enter(ME, snooze("named:a"), unix=NOW_UNIX)
    registry.enter(ME, snooze("named:b"), unix=NOW_UNIX + 15 * 86400)
    assert registry.entries.keys() == {(ME, "named:b")}


# Over restarts.


def test_what_was_said_is_known_to_the_next_agent(tmp_path: Path) -> None:
    registry = SnoozeRegistry()
    registry.enter(ME, snooze("wandb:größe"), unix=NOW_UNIX)
    assert SnoozesFile(registry, tmp_path).keep()
    fresh = SnoozeRegistry()
    SnoozesFile(fresh, tmp_path).restore()
    assert fresh.entries == registry.entries
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{}", "[", '[7, {"user": 1}, [], {"run": "x"}]', "[" * 10**5, "\xff"])
def test_a_damaged_file_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text, encoding="latin-1")
    assert load(tmp_path / FILE_NAME) == {}


def test_a_disk_that_refuses_is_told_to_who_asks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    here = Here(tmp_path / "nowhere")
    answer = here.wishes.grant(Peer(os.getpid(), os.geteuid()), Wish("snooze", "x1", HOURS, "meant"))
    assert not answer["kept"]
    assert "snoozes end with the agent" in caplog.text
    assert here.snoozes(RUN) is not None


def test_a_snooze_outlives_an_agent_that_is_killed(tmp_path: Path) -> None:
    """And its run: it is known by name when it is gone from the GPUs."""
    with node(tmp_path, 1) as seen:
        at = {"GPUWATCH_SOCKET": str(seen.agent.socket)}
        with program("cat", folder=tmp_path, GPUWATCH_RUN="named:a-1") as run:
            seen.put(0, run.pid)
            seen.wait_for(0, seconds=5, run="named:a-1")
            assert command(tmp_path, at, "a-1", "--for", "2h", "--reason", "labels")[0] == 0
        seen.agent.kill(signal.SIGKILL)
        seen.put(0, 0)
        seen.agent.start()
        ((whose, kept),) = load(seen.agent.state / FILE_NAME).items()
        assert (whose, kept.reason) == ((ME, "named:a-1"), "labels")
        assert command(tmp_path, at, "a-1", "--off") == (0, "named:a-1 is not snoozed any more\n")


def command(folder: Path, variables: dict[str, str], *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "gpuwatch", "snooze", *arguments], env=environment(folder) | variables,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


# What an environment says.


@pytest.mark.parametrize(
    ("text", "seconds", "reason"),
    [
        ("4h: waiting for labels", 4 * HOURS, "waiting for labels"),
        (" 30m:x", 1800, "x"),
        ("14d : a: b", 14 * 86400, "a: b"),
        ("1h:\x1b[2J\u202ex", HOURS, "[2Jx"),
    ],
)
def test_an_environment_may_say_that_idleness_is_meant(text: str, seconds: int, reason: str) -> None:
    assert parse_expectation(text) == (seconds, reason)


@pytest.mark.parametrize("text", ["", "4h", "4h:", "4h: \u202e", "15d: x", "0h: x", "-1h: x", "4: x", "4H: x", "x: 4h"])
def test_what_has_another_form_says_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_expectation(text)
    assert expected_idleness(runs_of(text)) == {}


@given(st.text())
def test_any_text_is_an_expectation_or_refused(text: str) -> None:
    try:
        seconds, reason = parse_expectation(text)
    except ValueError as error:
        assert str(error)
    else:
        assert 0 < seconds <= LONGEST_SECONDS
        assert clean(reason) == reason


def test_of_several_processes_the_longest_counts_from_the_start_of_their_run() -> None:
    ((whose, found),) = expected_idleness(runs_of("1h: a", "no", "3h: b", "2h: c")).items()
    assert whose == ("ann", "named:a-1")
    assert found == Snooze("named:a-1", NOW_UNIX + 3 * HOURS, "b", "ann")


def runs_of(*said: str) -> list[Any]:
    """Processes of one run that say this, and their runs."""
    cases = {}
    for pid, text in enumerate(said, 10):
        process = Process(Identity(pid, 100), 1, 1000, "python", ("python", "train.py"))
        traces = Traces(environment={"GPUWATCH_RUN": "named:a-1", "GPUWATCH_EXPECT_IDLE": text})
        cases[pid] = Case(Lineage((process,)), process, NOW_UNIX, "ann", Site("n7"), traces)
    verdicts = Resolver().resolve(cases)
    return [(case, replace(verdicts[pid].run)) for pid, case in cases.items()]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("90m: labels\x1b[2J", "idle     meant for 1.5 h from its start, by GPUWATCH_EXPECT_IDLE: labels[2J"),
        ("for ever", "idle     GPUWATCH_EXPECT_IDLE counts for nothing: it needs a length of time and a reason"),
    ],
)
def test_explain_tells_what_the_environment_says(tmp_path: Path, said: str, told: str) -> None:
    with program("cat", folder=tmp_path, GPUWATCH_EXPECT_IDLE=said) as run:
        done = subprocess.run(
            [sys.executable, "-m", "gpuwatch", "explain", str(run.pid)], capture_output=True, text=True, check=True,
            env=environment(tmp_path) | {"GPUWATCH_SOCKET": str(tmp_path / "nowhere"), "GPUWATCH_EXPECT_IDLE": said},
        )  # fmt: skip
    assert any(line.startswith(told) for line in done.stdout.splitlines())


@pytest.mark.parametrize(("text", "seconds"), [("30m", 1800), ("2 h", 7200), ("14d", 14 * 86400)])
def test_a_length_of_time_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "0m", "2s", "1.5h", "٤h", "2h30m", "1000000m", "-2h"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="like 30m, 2h or 14d"):
        parse_duration(text)
