"""What a report says of a record: rows, ranks, money, services, names, and whether it adds up."""

from __future__ import annotations

from datetime import UTC

import pytest
from history import Charge, FakeHistory, Spell
from hypothesis import given
from hypothesis import strategies as st
from reports import MONDAY, NOTEBOOK, NOW, PRICED, TEAMS, TUNE, example, last_week, report_of

from gpuwatch.errors import NothingRecorded, UsageError
from gpuwatch.model import Owner
from gpuwatch.model.history import Fleet, Usage
from gpuwatch.report.division import apart
from gpuwatch.report.document import Report, Row
from gpuwatch.report.figures import percents, written_money, written_number
from gpuwatch.report.headline import headline, headroom
from gpuwatch.report.period import parse_period
from gpuwatch.report.policy import Policy
from gpuwatch.units import DAY, HOUR


def row_of(report: Report, *values: str) -> Row:
    (row,) = [row for row in report.rows if row.values == values]
    return row


def held_in(report: Report) -> float:
    return sum(row.usage.held for row in (*report.rows, *report.services))


def test_the_headline_is_the_bill() -> None:
    assert headline(report_of()) == (
        "672 GPU-h paid, $1,680: 28 % busy, 46 % held idle, 14 % free, 8 % unavailable, 4 % unknown; "
        "busy −12 points on the week before; 1 of 3 nodes sent nothing: n9"  # noqa: RUF001
    )
    assert headroom(report_of()) == "at this use you could be running 3 times as many experiments"


def test_rows_are_ranked_by_hours_and_by_waste() -> None:
    report = report_of()
    assert [(row.values, row.rank, row.waste_rank) for row in report.rows] == [
        (("ben",), 1, 1),
        (("ann",), 2, 2),
        (("cat",), 3, None),  # 14 hours are no habit
        (("dan",), 4, None),
    ]
    ben = row_of(report, "ben")
    assert (ben.usage.held, ben.usage.busy, ben.usage.idle) == (168 * HOUR, 7 * HOUR, 161 * HOUR)
    assert ben.utilization == pytest.approx(1 / 24)
    assert ben.headroom == pytest.approx(24)
    assert ben.usage.runs == 1
    assert row_of(report, "ann").sm_active_ratio == pytest.approx(0.75)
    assert row_of(report, "cat").sm_active_ratio is None


def test_who_was_never_busy_has_no_headroom() -> None:
    assert row_of(report_of(), "dan").headroom is None
    assert row_of(report_of(), "dan").utilization == 0


def test_the_worst_run_has_its_link() -> None:
    report = report_of()
    worst = row_of(report, "ann").worst
    assert worst is not None
    assert (worst.url, worst.held - worst.busy) == ("https://wandb.example/good", 7 * HOUR)
    assert row_of(report, "dan").worst is None


def test_services_stand_by_themselves_and_have_no_rank_by_waste() -> None:
    report = report_of()
    (service,) = report.services
    assert (service.values, service.usage.held, service.waste_rank) == (("cat",), 168 * HOUR, None)
    cat = row_of(report, "cat")
    assert (cat.usage.held, cat.usage.runs) == (14 * HOUR, 1)
    assert cat.worst is not None
    assert cat.worst.owner == TUNE


def test_by_kind_services_are_a_row_like_others() -> None:
    report = report_of(by=("kind",))
    assert not report.services
    assert row_of(report, "service").rank in (1, 2)
    assert held_in(report) == held_in(report_of())


def test_little_that_a_server_rounds_is_no_peoples() -> None:
    whole, service = Usage(held=100.4, busy=10, runs=1), Usage(held=100, busy=9, runs=1)
    assert apart(whole, service) == (Usage(), whole)
    people, services = apart(Usage(held=150, busy=60, joules=5, runs=3), service)
    assert (people, services) == (Usage(held=50, busy=51, joules=5, runs=2), service)


def test_people_are_in_their_teams() -> None:
    report = report_of(by=("team",))
    assert {row.values: row.usage.held / HOUR for row in report.rows} == {
        ("vision",): 308,
        ("nlp",): 14,
        ("no team",): 7,
    }
    worst = row_of(report, "vision").worst
    assert worst is not None
    assert worst.owner == NOTEBOOK


def test_a_run_counts_once_in_all_and_once_in_each_day() -> None:
    report = report_of(by=("day",))
    assert [row.values[0] for row in report.rows] == [f"2026-11-{day:02}" for day in range(9, 16)]
    assert {row.usage.runs for row in report.rows} == {3}
    assert report.total.runs == 3
    assert held_in(report) == held_in(report_of())


def test_days_are_those_of_the_zone() -> None:
    zone = parse_period("last week", None, zone=UTC, now_unix=NOW).zone
    period = parse_period("2026-11-10", "2026-11-11", zone=zone, now_unix=NOW)
    assert [row.values for row in report_of(period=period, by=("day", "user")).rows] == [
        (f"2026-11-{day}", user) for day in (10, 11) for user in ("ben", "ann", "cat", "dan")
    ]


@pytest.mark.parametrize(
    ("where", "held"),
    [
        ({"user": ["ann"]}, 140),
        ({"user": ["ann", "dan"]}, 147),
        ({"team": ["vision"]}, 308),
        ({"team": ["no team"]}, 7),
        ({"team": ["vision"], "user": ["ben"]}, 168),
        ({"node": ["n2"]}, 189),
        ({"gpu": ["n1/1"]}, 168),
        ({"kind": ["service"]}, 168),
        ({"project": [""]}, 175),
        ({"run": ["slurm:4711"], "node": ["n2"]}, 14),
    ],
)
def test_filters_limit_it(where: dict[str, list[str]], held: int) -> None:
    assert held_in(report_of(where=where)) == held * HOUR


def test_a_node_that_sent_nothing_is_known_all_the_same() -> None:
    report = report_of(where={"node": ["n9"]})
    assert (report.rows, report.missing) == ((), ("n9",))


def test_filters_of_devices_limit_the_bill_and_those_of_people_do_not() -> None:
    assert report_of(where={"node": ["n1"]}).fleet.capacity == 336 * HOUR
    theirs = report_of(where={"user": ["ben"]})
    assert theirs.fleet.capacity == 672 * HOUR
    assert headline(theirs).startswith(
        "user ben: 168 GPU-h held, $420, 4 % of it busy, 96 % idle; in all 672 GPU-h paid"
    )


def test_what_has_no_name_is_called_none() -> None:
    assert headline(report_of(where={"project": ["", "clip"]})).startswith("project none, clip: ")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"user": ["anne"]}, "no user 'anne' in this period; did you mean ann?"),
        ({"user": ["ann", "zoe"]}, "no user 'zoe' in this period; there is: ann, ben, cat, dan"),
        ({"node": ["n7"]}, "no node 'n7' in this period; there is: n1, n2, n9"),
        ({"project": ["x"]}, "no project 'x' in this period; there is: chat, clip"),
        ({"team": ["visoin"]}, "no team 'visoin' in this period; did you mean vision?"),
        ({"team": ["nlp"], "user": ["ann"]}, "nobody who is asked for is in nlp"),
        ({"run": ["slurm:4712"]}, "did you mean slurm:4711?"),
    ],
)
def test_a_name_that_the_record_does_not_know(where: dict[str, list[str]], message: str) -> None:
    with pytest.raises(NothingRecorded) as caught:
        report_of(where=where)
    assert message in str(caught.value)


def test_before_the_first_record_is_nothing() -> None:
    with pytest.raises(NothingRecorded, match="there is no record yet"):
        report_of(FakeHistory())
    early = parse_period("2026-10", None, zone=UTC, now_unix=NOW)
    with pytest.raises(NothingRecorded, match=r"begins 2026-11-02 00:00; before that is nothing, and so of 2026-10"):
        report_of(period=early)


def test_a_record_that_begins_within_says_when() -> None:
    period = parse_period("2026-10-30", "2026-11-08", zone=UTC, now_unix=NOW)
    report = report_of(period=period)
    assert "The record begins 2026-11-02 00:00: what was before is not in it." in report.notes
    assert report.before is None


def test_a_record_that_ends_early_says_when() -> None:
    period = parse_period("2026-11-09", "2026-11-20", zone=UTC, now_unix=MONDAY + 20 * DAY)
    assert any("The newest reading is of 2026-11-16 02:00" in note for note in report_of(period=period).notes)


def test_it_compares_only_with_what_is_mostly_known() -> None:
    assert report_of().before is not None
    gone = [Spell(MONDAY - 7 * DAY, unknown=1000 * HOUR)]
    assert report_of(example(spells=[*example().spells, *gone])).before is None


def test_no_price_no_money() -> None:
    report = report_of(policy=Policy())
    assert report.price is None
    assert "$" not in headline(report)
    assert "No price is configured: set cost.gpu_hour to see what it cost." in report.notes
    assert not any("price" in note for note in report_of().notes)


def test_a_week_that_is_not_over_says_so() -> None:
    period = parse_period("this week", None, zone=UTC, now_unix=MONDAY + 3 * DAY)
    assert "This week is not over: 3 d of 7 d." in report_of(period=period).notes


def test_work_of_nobody_is_told() -> None:
    lost = [Spell(MONDAY, free=10 * HOUR, unattributed_busy=10 * HOUR)]
    notes = report_of(example(spells=[*example().spells, *lost])).notes
    assert "10.0 GPU-h were busy for nobody known: see `gpuwatch check`." in notes


TEAM, NONE = Policy(names="team"), Policy(names="none")


def test_where_names_are_withheld_people_are_their_teams() -> None:
    report = report_of(policy=TEAM)
    assert report.by == ("team",)
    assert [row.values for row in report.rows] == [("vision",), ("nlp",), ("no team",)]
    assert all(row.worst is None for row in report.rows)
    assert not report.questions
    assert report_of(policy=TEAM, by=("user", "team", "node")).by == ("team", "node")
    assert any("privacy.names = team" in note for note in report.notes)


def test_where_no_names_are_shown_people_are_numbers() -> None:
    report = report_of(policy=NONE, by=("user", "node"))
    assert [row.values for row in report.rows] == [
        ("person 2", "n1"), ("person 3", "n1"), ("person 1", "n2"), ("person 4", "n2")
    ]  # fmt: skip
    assert report.services[0].values == ("person 1", "n2")
    assert [row.values[0] for row in report_of(policy=NONE, by=("team",)).rows] == ["team 1", "team 2", "team 3"]
    assert all(row.worst is None for row in report.rows)


@pytest.mark.parametrize("by", ["run", "project"])
@pytest.mark.parametrize("policy", [TEAM, NONE], ids=str)
def test_what_tells_names_is_refused_where_they_are_withheld(by: str, policy: Policy) -> None:
    with pytest.raises(UsageError, match=f"--by {by}: names of people and their runs are withheld.*--user ann"):
        report_of(by=(by,), policy=policy)


@pytest.mark.parametrize("where", [{"user": ["ben"]}, {"user": ["ann", "ben"]}, {"project": ["clip"]}, {"run": ["x"]}])
@pytest.mark.parametrize("policy", [TEAM, NONE], ids=str)
def test_nobody_asks_for_others_where_names_are_withheld(where: dict[str, list[str]], policy: Policy) -> None:
    with pytest.raises(UsageError, match="withheld"):
        report_of(where=where, policy=policy)


@pytest.mark.parametrize("policy", [TEAM, NONE], ids=str)
def test_ones_own_runs_may_always_be_seen(policy: Policy) -> None:
    report = report_of(by=("run",), where={"user": ["ann"]}, policy=policy)
    assert [row.values for row in report.rows] == [("wandb:good",)]
    with pytest.raises(NothingRecorded) as caught:
        report_of(where={"user": ["an"]}, viewer="an", policy=policy)
    assert "ann" not in str(caught.value)


def test_teams_are_names_too() -> None:
    assert report_of(where={"team": ["vision"]}, policy=TEAM).rows
    with pytest.raises(UsageError, match="--team"):
        report_of(where={"team": ["vision"]}, policy=NONE)


names = st.sampled_from(["ann", "ben", "cat", "dan", "", "<b>"])
seconds = st.floats(0, 3600)
charges = st.builds(
    lambda start, user, project, run, held, share, place, kind, capacity: Charge(
        start, Owner(user, project, run), held, held * share, node=place[0], gpu=place[1], kind=kind, capacity=capacity
    ),
    st.floats(MONDAY, MONDAY + 7 * DAY, exclude_max=True),
    names, names, names, seconds, st.floats(0, 1),
    st.tuples(st.sampled_from(["n1", "n2"]), st.sampled_from(["0", "3:1"])),
    st.sampled_from(["batch", "interactive", "service", ""]),
    st.sampled_from([1.0, 1 / 7]),
)  # fmt: skip
others = st.tuples(
    st.floats(MONDAY, MONDAY + 7 * DAY, exclude_max=True), seconds, seconds, seconds
).map(lambda parts: Spell(*parts))  # fmt: skip
keys = st.lists(
    st.sampled_from(["user", "team", "project", "run", "kind", "node", "gpu", "model", "day"]), min_size=1, unique=True
)


@given(st.lists(charges, min_size=1, max_size=12), st.lists(others, max_size=4), keys)
def test_rows_and_the_rest_add_up_to_the_capacity(held: list[Charge], rest: list[Spell], by: list[str]) -> None:
    report = report_of(FakeHistory(held, rest), by=by)
    fleet = report.fleet
    assert held_in(report) + fleet.free + fleet.unavailable + fleet.unknown == pytest.approx(fleet.capacity, abs=1e-6)


@given(st.lists(charges, min_size=1, max_size=12), st.sampled_from(["team", "none"]))
def test_names_that_are_withheld_change_no_sum(held: list[Charge], policy: str) -> None:
    history = FakeHistory(held)
    withheld = report_of(history, policy=Policy(names=policy), viewer="eve")
    assert held_in(withheld) == pytest.approx(held_in(report_of(history)), abs=1e-6)
    assert not {row.values[0] for row in withheld.rows} & {*TEAMS, "dan", "<b>", ""}


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=6))
def test_percents_add_up_as_printed(parts: list[float]) -> None:
    rounded = percents(parts)
    assert sum(rounded) == (100 if sum(parts) > 0 else 0)
    whole = sum(parts) or 1
    assert all(
        abs(percent - part / whole * 100) < 1 + 1e-9 for percent, part in zip(rounded, parts, strict=True) if any(parts)
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (0.01, "<0.1"), (0.05, "0.1"), (3.25, "3.2"), (99.94, "99.9"), (99.96, "100"), (53760, "53,760")],
)
def test_numbers_are_written_for_people(number: float, text: str) -> None:
    assert written_number(number) == text


def test_small_numbers_of_a_column_without_fractions() -> None:
    assert [written_number(number, 0) for number in (0, 0.2, 0.7, 1234.5)] == ["0", "<1", "1", "1,234"]


@pytest.mark.parametrize(("amount", "text"), [(0, "$0"), (0.001, "$0.01"), (3.5, "$3.50"), (134400.2, "$134,400")])
def test_money_has_cents_only_where_they_matter(amount: float, text: str) -> None:
    assert written_money(amount, "$") == text


@pytest.mark.parametrize(
    ("busy", "words"),
    [(0.5, "more than 100 times"), (15, "6 times as many"), (40, "twice as many"),
     (60, "half as many experiments again"), (75, "a quarter more"), (90, "a tenth more"), (95, ""), (0, "")],
)  # fmt: skip
def test_the_headroom_is_rounded_down_to_a_word(busy: float, words: str) -> None:
    charge = Charge(MONDAY, Owner("ann", "", "r"), held=100.0, busy=busy)
    line = headroom(report_of(FakeHistory([charge])))
    assert words in line
    assert bool(line) == bool(words)


def test_what_was_out_of_service_is_no_headroom() -> None:
    history = FakeHistory([Charge(MONDAY, NOTEBOOK, 100, 50)], [Spell(MONDAY, unavailable=900)])
    assert report_of(history, period=last_week(), policy=PRICED).headroom == 2
    assert Fleet(active=1).capacity == 1
