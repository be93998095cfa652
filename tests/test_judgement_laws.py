"""What holds of the judgement whatever a run does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from judged import Doing, Moment, Story, play

from gpuwatch.judge.limits import STUCK_AFTER, Limits
from gpuwatch.model.judgement import IDLE, KEPT_WARM, OK, RESERVED, STUCK, UNDERUSED, VERDICTS
from gpuwatch.units import MINUTE

RANK = {OK: 0, UNDERUSED: 1, KEPT_WARM: 1, IDLE: 2, RESERVED: 2, STUCK: 2}
"""The worse, the higher: what is only in the report, and what somebody is told of."""

alone = st.builds(
    Doing,
    minutes=st.integers(1, 45),
    use=st.sampled_from([0.0, 0.0, 0.03, 0.05, 0.08, 0.2, 0.95, 1.0]),
    sm=st.sampled_from([None, None, 0.0, 0.003]),
    watts=st.sampled_from([None, None, 100.0]),
    cores=st.sampled_from([0.0, 4.0]),
    seen=st.sampled_from([1.0, 1.0, 1.0, 0.4, 0.0]),
    reserved=st.booleans(),
)
shared = st.builds(
    Doing, minutes=st.integers(1, 45), use=st.sampled_from([0.0, 0.1]), other=st.sampled_from([0.0, 0.9])
)
stories = st.lists(alone, min_size=1, max_size=8)
crowded = st.lists(st.one_of(alone, shared), min_size=1, max_size=8)
laws = settings(max_examples=25, deadline=None)


def story_of(doing: Sequence[Doing], *, restarts: tuple[int, ...] = ()) -> Story:
    return Story(title="", doing=tuple(doing), restarts=restarts, verdicts={}, told=None, why="")


def played(doing: Sequence[Doing], *, restarts: tuple[int, ...] = ()) -> list[Moment]:
    return list(play(story_of(doing, restarts=restarts)))


def minutes_of(doing: Sequence[Doing]) -> list[Doing]:
    return story_of(doing).devices[0]


@laws
@given(crowded)
def test_nothing_is_said_before_it_was_seen_for_long_enough(doing: list[Doing]) -> None:
    seen = 0.0
    for minute, moment in zip(minutes_of(doing), played(doing), strict=True):
        seen += minute.seen * MINUTE
        (judgement,) = moment.judgements
        assert judgement.verdict in VERDICTS
        assert judgement.idle_seconds <= seen + 1e-6
        assert judgement.verdict == OK or seen >= STUCK_AFTER
        assert judgement.verdict not in (IDLE, RESERVED) or judgement.idle_seconds >= Limits().idle_after
        assert 0 <= judgement.coverage <= 1


@laws
@given(crowded)
def test_what_is_not_seen_moves_no_clock(doing: list[Doing]) -> None:
    moments = list(zip(minutes_of(doing), played(doing), strict=True))
    for (_, before), (minute, after) in pairwise(moments):
        if minute.seen == 0:
            assert after.judgements[0].idle_seconds == before.judgements[0].idle_seconds


@laws
@given(crowded, st.data())
def test_a_restart_of_the_agent_changes_no_verdict(doing: list[Doing], data: st.DataObject) -> None:
    last = len(minutes_of(doing))
    restarts = data.draw(st.lists(st.integers(1, last), min_size=1, max_size=3).map(tuple))
    assert played(doing, restarts=restarts) == played(doing)


@laws
@given(stories, st.data())
def test_who_did_more_in_a_minute_is_not_thought_worse_of(doing: list[Doing], data: st.DataObject) -> None:
    minutes = minutes_of(doing)
    place = data.draw(st.integers(0, len(minutes) - 1))
    more = replace(
        minutes[place], use=data.draw(st.floats(max(minutes[place].use or 0.0, 0.02), 1.0)), sm=None, watts=None
    )
    moments = zip(played(minutes), played([*minutes[:place], more, *minutes[place + 1 :]]), strict=True)
    for before, after in moments:
        assert RANK[after.judgements[0].verdict] <= RANK[before.judgements[0].verdict], after


@laws
@given(crowded)
def test_somebody_is_told_only_of_what_is_idle_or_stuck(doing: list[Doing]) -> None:
    for moment in played(doing):
        assert not moment.due or moment.judgements[0].verdict in (IDLE, RESERVED, STUCK)
