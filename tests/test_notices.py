"""The record of what was told, and the letters on their way: durable, each once, and the same after any restart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from idling import TUESDAY, Memory, Spell, local, run_now, runs_at
from test_plan import POLICIES, STARTS, TICKS, WORLDS

from gpuwatch.agent.telling import Telling, Way
from gpuwatch.alert.letters import letters_of
from gpuwatch.alert.message import Terms
from gpuwatch.alert.plan import Close, Minute, Step, plan
from gpuwatch.alert.policy import AlertPolicy
from gpuwatch.errors import DiskRefused, StateError
from gpuwatch.model.judgement import OK, RunNow
from gpuwatch.model.notice import CLOSED, FAILED, FIRST, HELD_BACK, SENT, SHADOW, WRONG, Notice, Told
from gpuwatch.model.outbox import POST, SENDING, THREAD, UPDATE, Known, Letter, Place
from gpuwatch.state.noticed import open_noticed
from gpuwatch.state.notices import KEPT_SECONDS, MOST_UNTOLD, Notices
from gpuwatch.state.notices_file import NOTICES_NAME, NoticesFile
from gpuwatch.state.outbox import Outbox
from gpuwatch.units import DAY, HOUR, MINUTE

NOTICE = Notice(
    "a1", "ann\nwandb:a", "ann", "idle", ("wandb:a",), ("n1",), TUESDAY, SENT, "idle for long", told=1,
    told_unix=TUESDAY, refreshed_unix=TUESDAY, seen_unix=TUESDAY, wasted_gpu_seconds=3600.0,
)  # fmt: skip
PLACE = Place("C1", "1700000000.000100")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[NoticesFile]:
    with closing(NoticesFile(tmp_path, unix=TUESDAY)) as opened:
        yield opened


def letter(name: str, notice: str = "a1", action: str = POST) -> Letter:
    return Letter(name, notice, action, "ann", "text", "[]", TUESDAY)


def put(file: NoticesFile, *letters: Letter) -> Outbox:
    Notices(file).record([], [], letters)
    return Outbox(file)


# Notices.


def test_a_notice_comes_back_as_it_was(file: NoticesFile) -> None:
    told = Told(TUESDAY, "ann", "a1", FIRST, SENT)
    Notices(file).record([NOTICE], [told])
    assert Notices(file).open() == [NOTICE]
    assert Notices(file).told_since(TUESDAY) == [told]
    assert Notices(file).told_since(TUESDAY + 1) == []
    Notices(file).record([NOTICE._replace(closed_unix=TUESDAY + 1, close_reason="busy")])
    assert Notices(file).open() == []
    assert [notice.id for notice in Notices(file).earlier("ann", most=5)] == ["a1"]


def test_names_can_be_anything(file: NoticesFile) -> None:
    hostile = "x'; DROP TABLE notice; --\x00\udc80☃"
    Notices(file).record([NOTICE._replace(user=hostile, runs=(hostile,), key=hostile)])
    (notice,) = Notices(file).open()
    assert notice.user == hostile.replace("\udc80", "?")
    assert notice.runs == (hostile,)


def test_two_open_notices_of_one_subject_are_refused_whole(file: NoticesFile) -> None:
    Notices(file).record([NOTICE])
    with pytest.raises(DiskRefused):
        Notices(file).record([NOTICE._replace(id="a2")], [Told(TUESDAY, "ann", "a2", FIRST, SENT)], [letter("l")])
    assert [notice.id for notice in Notices(file).open()] == ["a1"]
    assert Notices(file).told_since(0) == []
    assert Outbox(file).next_letter(TUESDAY) is None


def test_the_last_notice_of_a_run_is_called_wrong_and_counted_once(file: NoticesFile) -> None:
    notices = Notices(file)
    notices.record([NOTICE._replace(closed_unix=TUESDAY + 1), NOTICE._replace(id="a2", opened_unix=TUESDAY + DAY)])
    assert notices.told() == {("ann", "wandb:a")}
    notices.mark_wrong(("ann", "wandb:a"), "it waits\nfor labels")
    notices.mark_wrong(("ann", "wandb:a"), "")
    notices.mark_wrong(("ben", "wandb:a"), "not his")
    assert [(one.id, one.wrong) for one in notices.earlier("ann", most=9)] == [("a2", "without a reason"), ("a1", "")]
    assert notices.totals()[WRONG] == 1
    notices.record([NOTICE._replace(id="a2", told=2)])
    assert notices.open()[0].wrong == "without a reason"


def test_what_was_never_told_cannot_be_wrong(file: NoticesFile) -> None:
    Notices(file).record([NOTICE._replace(outcome=HELD_BACK, told=0)])
    Notices(file).mark_wrong(("ann", "wandb:a"), "it waits")
    assert Notices(file).told() == set()
    assert Notices(file).open()[0].wrong == ""


def test_totals_are_of_all_time_and_outlive_what_they_count(file: NoticesFile) -> None:
    notices, later = Notices(file), TUESDAY + KEPT_SECONDS + HOUR
    notices.record([NOTICE], [Told(TUESDAY, "ann", "a1", FIRST, SHADOW)])
    notices.record([NOTICE._replace(closed_unix=TUESDAY + 1)])
    notices.record([NOTICE._replace(id="b", key="b", told=0, closed_unix=TUESDAY + 1)])
    notices.tidy(unix=later)
    assert notices.earlier("ann", most=9) == []
    assert notices.totals() == {SHADOW: 1, CLOSED: 1, HELD_BACK: 1}


def test_of_what_nobody_was_told_of_only_so_much_is_kept(file: NoticesFile) -> None:
    untold = NOTICE._replace(told=0, outcome=HELD_BACK, closed_unix=TUESDAY)
    Notices(file).record(
        [untold._replace(id=f"{n}", key=f"{n}", closed_unix=TUESDAY + n) for n in range(MOST_UNTOLD + 50)]
        + [untold._replace(id="open", key="open", closed_unix=None), NOTICE._replace(closed_unix=TUESDAY)]
    )
    Notices(file).tidy(unix=TUESDAY + DAY)
    rows = file.rows("SELECT count(*), min(closed_unix) FILTER (WHERE told = 0), sum(told > 0) FROM notice")
    assert [tuple(row) for row in rows] == [(MOST_UNTOLD + 3, TUESDAY + 49, 1)]


def test_edits_that_were_made_are_not_kept(file: NoticesFile) -> None:
    outbox = put(file, letter("first"), letter("edit", action=UPDATE), letter("line", action=THREAD))
    for name in ("first", "edit", "line"):
        outbox.end(name, PLACE, now_unix=TUESDAY)
    Notices(file).tidy(unix=TUESDAY + 2 * DAY)
    assert [row[0] for row in file.rows("SELECT id FROM letter ORDER BY seq")] == ["first", "line"]


def test_what_is_open_is_never_tidied_away(file: NoticesFile) -> None:
    Notices(file).record([NOTICE])
    Notices(file).tidy(unix=TUESDAY + 3 * KEPT_SECONDS)
    assert Notices(file).open() == [NOTICE]


# Letters.


def test_a_letter_of_the_same_name_is_sent_once(file: NoticesFile) -> None:
    outbox = put(file, letter("first"), letter("first"))
    outbox.begin("first", channel="D1", now_unix=TUESDAY)
    outbox.end("first", PLACE, now_unix=TUESDAY)
    put(file, letter("first"))
    assert outbox.next_letter(TUESDAY + DAY) is None
    assert outbox.next_unix() is None
    assert outbox.place_of("a1") == PLACE
    assert Notices(file).totals() == {SENT: 1}


def test_letters_of_a_notice_keep_their_order_and_others_do_not_wait(file: NoticesFile) -> None:
    outbox = put(file, letter("a-1"), letter("a-2", action=THREAD), letter("b-1", notice="b"))
    outbox.begin("a-1", channel="D1", now_unix=TUESDAY)
    outbox.put_off("a-1", until_unix=TUESDAY + 60, why="Slack is not reached")
    second = outbox.next_letter(TUESDAY)
    assert second is not None
    assert second.id == "b-1"
    outbox.fail("b-1", why="no such channel", now_unix=TUESDAY)
    assert outbox.next_letter(TUESDAY + 59) is None
    assert outbox.next_unix() == TUESDAY + 60
    assert outbox.problem() == "Slack is not reached"
    first = outbox.next_letter(TUESDAY + 60)
    assert first is not None
    assert (first.id, first.attempts, first.channel) == ("a-1", 1, "D1")
    outbox.end("a-1", PLACE, now_unix=TUESDAY)
    third = outbox.next_letter(TUESDAY)
    assert third is not None
    assert third.id == "a-2"
    assert Notices(file).totals() == {SENT: 1, FAILED: 1}


def test_what_may_have_been_sent_is_known_as_such_after_a_crash(file: NoticesFile, tmp_path: Path) -> None:
    put(file, letter("first")).begin("first", channel="D1", now_unix=TUESDAY + 1)
    with closing(NoticesFile(tmp_path, unix=TUESDAY)) as again:
        found = Outbox(again).next_letter(TUESDAY + 2)
    assert found is not None
    assert (found.state, found.attempts, found.channel, found.begun_unix) == (SENDING, 1, "D1", TUESDAY + 1)


def test_edits_are_no_messages_of_their_own(file: NoticesFile) -> None:
    outbox = put(file, letter("edit", action=UPDATE))
    outbox.end("edit", PLACE, now_unix=TUESDAY)
    assert Notices(file).totals() == {}
    assert outbox.place_of("a1") is None


def test_of_edits_that_wait_the_last_one_is_sent(file: NoticesFile) -> None:
    outbox = put(file, letter("post"), letter("edit-1", action=UPDATE), letter("edit-x", "x", UPDATE))
    put(file, letter("line", action=THREAD), letter("edit-2", action=UPDATE))
    put(file, letter("edit-2", action=UPDATE))
    sent = []
    while (found := outbox.next_letter(TUESDAY)) is not None:
        outbox.end(found.id, PLACE, now_unix=TUESDAY)
        sent.append(found.id)
    assert sent == ["post", "edit-x", "line", "edit-2"]


def test_letters_are_taken_back_only_while_none_is_or_may_be_there(file: NoticesFile) -> None:
    outbox = put(file, letter("a-1"), letter("a-2"), letter("b-1", notice="b"), letter("b-2", notice="b"))
    assert outbox.withdraw("a1")
    assert not outbox.withdraw("a1")
    outbox.begin("b-1", channel="D1", now_unix=TUESDAY)
    assert not outbox.withdraw("b")


def test_a_clock_that_was_far_ahead_keeps_no_letter_waiting(file: NoticesFile) -> None:
    outbox = put(file, letter("first"))
    outbox.put_off("first", until_unix=TUESDAY + 30 * DAY, why="Slack is not reached")
    assert outbox.next_letter(TUESDAY) is not None


def test_people_are_remembered(file: NoticesFile) -> None:
    outbox = Outbox(file)
    assert outbox.known("ann") is None
    outbox.note("ann", Known("U1", TUESDAY))
    outbox.note("ann", Known("", TUESDAY + 1))
    assert outbox.known("ann") == Known("", TUESDAY + 1)


# The file.


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / NOTICES_NAME).write_bytes(b"no database" * 1000)
    with closing(NoticesFile(tmp_path, unix=TUESDAY)) as file:
        assert file.set_aside is not None
        assert file.set_aside.exists()
        assert Notices(file).open() == []


def test_a_file_of_a_newer_gpuwatch_is_left_alone(tmp_path: Path) -> None:
    with closing(NoticesFile(tmp_path, unix=TUESDAY)) as file, file.transaction() as db:
        db.execute("INSERT INTO migration VALUES ('9999-better', 0)")
    with pytest.raises(StateError, match="written by a newer gpuwatch"):
        NoticesFile(tmp_path, unix=TUESDAY)


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DiskRefused, match="cannot open"):
        NoticesFile(tmp_path / "none", unix=TUESDAY)


# Telling: the plan, on the disk.


class Teller:
    """Who tells of a world, with a file that it can lose hold of."""

    def __init__(self, directory: Path, policy: AlertPolicy) -> None:
        self._directory = directory
        self._policy = policy
        self._open()

    def reopen(self) -> None:
        self.file.close()
        self._open()

    def _open(self) -> None:
        self.file = NoticesFile(self._directory, unix=TUESDAY, durable=False)
        way = Way(lambda step, earlier, now: letters_of(step, earlier, terms=Terms(), now_unix=now))
        self.telling = Telling(
            Notices(self.file), Outbox(self.file), self._policy, local=local, place="n1",
            way=way if self._policy.mode == "agent" else None,
        )  # fmt: skip


def without_unsent(steps: list[Step]) -> list[Step]:
    """Of notices that were closed before anything was sent, only that they were."""
    return [
        Close(step.notice._replace(outcome="", told=0, why="")) if isinstance(step, Close) else step for step in steps
    ]


@settings(max_examples=12, deadline=None)
@given(WORLDS, STARTS, POLICIES, st.sets(st.integers(0, len(TICKS)), max_size=6))
def test_a_restart_at_any_minute_changes_nothing(
    world: list[Spell], start: float, policy: AlertPolicy, restarts: set[int]
) -> None:
    memory = Memory()
    with TemporaryDirectory() as directory:
        teller = Teller(Path(directory), policy)
        for count, number in enumerate(TICKS[::2]):
            minute = Minute(start + number * MINUTE, runs_at(world, start, number))
            if count in restarts:
                teller.reopen()
            planned = plan(minute, memory.record, policy, local=local, place="n1")
            assert without_unsent(teller.telling.tell(minute)) == without_unsent(planned)
            memory.take(planned, minute, policy)
        teller.file.close()


def tell(teller: Teller, *runs: RunNow, now: float = TUESDAY) -> list[Step]:
    return teller.telling.tell(Minute(now, runs))


def actions(teller: Teller) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in teller.file.rows("SELECT action, id FROM letter ORDER BY seq")]


def test_the_letters_of_a_notice_from_its_opening_to_its_closing(tmp_path: Path) -> None:
    teller = Teller(tmp_path, AlertPolicy(mode="agent"))
    tell(teller, run_now())
    (post,) = actions(teller)
    Outbox(teller.file).end(post[1], PLACE, now_unix=TUESDAY)
    tell(teller, run_now(), now=TUESDAY + 30 * MINUTE)
    tell(teller, run_now(minutes=290), now=TUESDAY + 4 * HOUR)
    tell(teller, run_now(verdict=OK), now=TUESDAY + 4 * HOUR + MINUTE)
    assert [action for action, _ in actions(teller)] == [POST, THREAD, UPDATE, THREAD]
    assert Notices(teller.file).totals() == {SENT: 1, CLOSED: 1}
    teller.file.close()


def test_what_is_over_before_slack_was_reached_is_not_told(tmp_path: Path) -> None:
    teller = Teller(tmp_path, AlertPolicy(mode="agent"))
    tell(teller, run_now())
    tell(teller, run_now(verdict=OK), now=TUESDAY + MINUTE)
    assert actions(teller) == []
    assert Notices(teller.file).totals() == {HELD_BACK: 1}
    teller.file.close()


def test_a_digest_is_taken_back_when_all_of_it_is_over(tmp_path: Path) -> None:
    teller = Teller(tmp_path, AlertPolicy(mode="agent"))
    tell(teller, *(run_now(f"wandb:{name}") for name in "abc"))
    tell(teller, run_now("wandb:a", verdict=OK), run_now("wandb:b"), run_now("wandb:c"), now=TUESDAY + MINUTE)
    assert [action for action, _ in actions(teller)] == [POST, THREAD]
    tell(teller, *(run_now(f"wandb:{name}", verdict=OK) for name in "bc"), now=TUESDAY + 2 * MINUTE)
    assert actions(teller) == []
    teller.file.close()


def test_what_slack_has_refused_for_good_is_not_edited(tmp_path: Path) -> None:
    teller = Teller(tmp_path, AlertPolicy(mode="agent"))
    tell(teller, run_now())
    ((_, post),) = actions(teller)
    Outbox(teller.file).fail(post, why="too long", now_unix=TUESDAY)
    tell(teller, run_now(), now=TUESDAY + 30 * MINUTE)
    tell(teller, run_now(verdict=OK), now=TUESDAY + HOUR)
    assert [action for action, _ in actions(teller)] == [POST]
    teller.file.close()


def test_a_reminder_takes_the_place_of_a_message_that_was_given_up(tmp_path: Path) -> None:
    teller = Teller(tmp_path, AlertPolicy(mode="agent"))
    tell(teller, run_now())
    ((_, post),) = actions(teller)
    Outbox(teller.file).fail(post, why="Slack knows nobody", now_unix=TUESDAY)
    tell(teller, run_now(minutes=290), now=TUESDAY + 4 * HOUR)
    _, (action, reminder) = actions(teller)
    assert (action, reminder.endswith("reminder-1")) == (POST, True)
    Outbox(teller.file).end(reminder, PLACE, now_unix=TUESDAY)
    tell(teller, run_now(verdict=OK), now=TUESDAY + 5 * HOUR)
    assert [action for action, _ in actions(teller)] == [POST, POST, UPDATE, THREAD]
    teller.file.close()


def test_what_was_only_noted_is_neither_closed_in_slack_nor_told_as_an_earlier_notice(tmp_path: Path) -> None:
    teller = Teller(tmp_path, AlertPolicy(mode="shadow"))
    tell(teller, run_now())
    teller.file.close()
    teller = Teller(tmp_path, AlertPolicy(mode="agent"))
    tell(teller, run_now(verdict=OK), now=TUESDAY + MINUTE)
    assert actions(teller) == []
    assert Notices(teller.file).earlier("ann", most=9) == []
    Notices(teller.file).mark_wrong(("ann", "wandb:a"), "it trains")
    assert Notices(teller.file).totals()[WRONG] == 1
    teller.file.close()


def test_in_shadow_mode_no_letter_is_written(tmp_path: Path) -> None:
    teller = Teller(tmp_path, AlertPolicy(mode="shadow"))
    tell(teller, run_now())
    assert actions(teller) == []
    assert Notices(teller.file).totals() == {SHADOW: 1}
    teller.file.close()


def test_a_digest_is_one_letter_and_its_closings_are_lines_under_it(tmp_path: Path) -> None:
    teller = Teller(tmp_path, AlertPolicy(mode="agent"))
    tell(teller, *(run_now(f"wandb:{name}") for name in "abc"))
    tell(teller, *(run_now(f"wandb:{name}", verdict=OK) for name in "ab"), run_now("wandb:c"), now=TUESDAY + MINUTE)
    assert [action for action, _ in actions(teller)] == [POST, THREAD, THREAD]
    teller.file.close()


# Looking at it.


def test_who_looks_sees_what_was_told_and_changes_nothing(tmp_path: Path) -> None:
    with closing(NoticesFile(tmp_path, unix=TUESDAY)) as file:
        later = NOTICE._replace(id="b", key="b", opened_unix=TUESDAY + DAY, wrong="no")
        Notices(file).record([NOTICE._replace(closed_unix=TUESDAY + HOUR), later])
        with open_noticed(tmp_path) as noticed:
            assert [one.id for one in noticed.between(TUESDAY, TUESDAY + HOUR)] == ["a1"]
            assert [one.id for one in noticed.between(TUESDAY + HOUR + 1, TUESDAY + 2 * DAY)] == ["b"]
            assert noticed.between(0, TUESDAY) == []
            assert noticed.counts(TUESDAY, TUESDAY + 2 * DAY) == (2, 1)
    before = (tmp_path / NOTICES_NAME).read_bytes()
    with open_noticed(tmp_path) as noticed:
        assert len(noticed.between(0, TUESDAY + 9 * DAY)) == 2
    assert (tmp_path / NOTICES_NAME).read_bytes() == before
