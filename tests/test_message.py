"""What the owner of idle GPUs is told: every item, in both forms, within Slack's limits; and nothing is markup."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block

from gpuwatch.alert.message import Message, Terms, addressed, closed, closing, digest, opening, reminder
from gpuwatch.alert.message.blocks import LONGEST_TEXT, MOST_BLOCKS
from gpuwatch.alert.message.causes import likely_causes
from gpuwatch.alert.subject import Subject, subjects
from gpuwatch.model.identity import Owner
from gpuwatch.model.judgement import IDLE, OK, RESERVED, STUCK, Held, Judgement, RunNow
from gpuwatch.model.notice import SENT, Notice
from gpuwatch.units import DAY, HOUR, MINUTE

NOW = datetime(2026, 11, 20, 14, 14, tzinfo=UTC).timestamp()
GIB = 2**30
TERMS = Terms(gpu_hour=2.5, currency="$", zone=UTC)
SINCE = NOW - 72 * MINUTE
HOSTILE = '<!channel> <@U999> <https://evil.example|x> *_~`" & \u202e\n$(reboot)'
URL = "https://wandb.example.com/vision/xu3ab252"


def held(gpu: int, verdict: str = IDLE, *, memory: int | None = 61 * GIB, since: float = SINCE, **other: Any) -> Held:
    judged = Judgement(verdict, since, NOW - since, NOW - since, 0.02, 118.0, 0.98, "under 5 % of use in 72 minutes")
    return Held(f"{gpu}", f"GPU-{gpu}", "H100", 1.0, memory, judged._replace(**other))


def run(*devices: Held, **other: Any) -> RunNow:
    about = RunNow(
        "n7", Owner("ann", "vision", "wandb:xu3ab252"), "batch", "resnet-lr3", URL, "4711", "", NOW - 5 * HOUR,
        40 * HOUR, 30 * HOUR, 0.2, devices,
    )  # fmt: skip
    return about._replace(**other)


def subject(*runs: RunNow) -> Subject:
    (found,) = subjects(runs)
    return found


HALF_IDLE = subject(run(*(held(gpu) for gpu in range(4)), *(held(gpu, OK) for gpu in range(4, 8))))


def notice(**other: Any) -> Notice:
    about = Notice(
        "a1", HALF_IDLE.key, "ann", IDLE, ("wandb:xu3ab252",), ("n7",), NOW - HOUR, SENT, "idle", told=1,
        told_unix=NOW - HOUR, wasted_gpu_seconds=4.8 * HOUR,
    )  # fmt: skip
    return about._replace(**other)


def first(about: Subject = HALF_IDLE, *, earlier: Sequence[Notice] = (), terms: Terms = TERMS) -> Message:
    return addressed(opening(about, terms=terms, earlier=earlier, now_unix=NOW), "ann", "U1")


def leaves(item: Any) -> Iterator[Mapping[str, Any]]:
    """All objects in it that have a type."""
    if isinstance(item, Mapping):
        yield from [item] if "type" in item else []
        for value in item.values():
            yield from leaves(value)
    elif isinstance(item, list | tuple):
        for value in item:
            yield from leaves(value)


def shown(message: Message) -> str:
    """What is read of the blocks, a line for each paragraph; a mention as in the text."""
    lines = []
    for leaf in leaves(message.blocks):
        if "elements" in leaf and leaf["type"] in ("rich_text_section", "rich_text_preformatted"):
            lines.append("".join(_word(element) for element in leaf["elements"]))
        elif leaf["type"] == "plain_text":
            lines.append(leaf["text"])
    return "\n".join(lines)


def _word(element: Mapping[str, Any]) -> str:
    return f"<@{element['user_id']}>" if element["type"] == "user" else str(element["text"])


def forms(message: Message) -> list[str]:
    """Both forms on one line each: the text as it is read, and the blocks."""
    read = message.text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return [" ".join(form.split()) for form in (read, shown(message))]


def valid(message: Message) -> Message:
    """The same, if Slack takes it, and nothing in it but the one mention is markup."""
    assert len(message.blocks) <= MOST_BLOCKS
    assert 0 < len(message.text) <= LONGEST_TEXT + 50
    for block in message.blocks:
        parsed = Block.parse(dict(block))
        assert parsed is not None
        parsed.validate_json()
    for leaf in leaves(message.blocks):
        assert leaf["type"] != "mrkdwn"
        if isinstance(leaf.get("text"), str):
            assert 0 < len(leaf["text"]) <= LONGEST_TEXT
        if leaf["type"] == "user":
            assert leaf["user_id"] == "U1"
        if leaf["type"] == "link":
            assert leaf["url"].startswith(("http://", "https://"))
    assert set(re.findall(r"<[^>]*>?", message.text)) <= {"<@U1>"}
    return message


# Every item


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("who", "<@U1>"),
        ("which run", "resnet-lr3 (wandb:xu3ab252)"),
        ("host and GPUs", "n7 GPU 0, 1, 2, 3"),
        ("k of n idle", "4 of 8 GPUs"),
        ("since when", "Fri 20 Nov 13:02 UTC, 1 h 12 min"),
        ("mean use and power", "2 % use and 118 W a GPU on average"),
        ("coverage", "98 % of that time seen"),
        ("what was judged", "under 5 % of use in 72 minutes"),
        ("memory held", "244 GiB on the idle GPUs, at most 61 GiB on one"),
        ("GPU-hours so far", "4.8 GPU-hours, $12"),
        ("held in all", "40.0 GPU-hours, $100, 75 % of it used"),
        ("what follows", "Nothing is stopped automatically. It shows in Monday's report."),
        ("the check", "gpuwatch show wandb:xu3ab252"),
        ("the check by the driver", "nvidia-smi -i 0,1,2,3"),
        ("the end of it", "gpuwatch stop wandb:xu3ab252"),
        ("a cause", "Its CPUs are quiet too (0.2 cores): it hangs"),
        ("another cause", "It works on 4 GPUs and holds 8: ask for fewer"),
        ("to snooze", "gpuwatch snooze wandb:xu3ab252 --for 2h --reason 'WHY'"),
        ("to say that it is wrong", "gpuwatch snooze wandb:xu3ab252 --wrong --reason 'WHY'"),
        ("earlier notices", "Earlier notices to you: 2 since Tue 10 Nov 14:14 UTC"),
        ("the last of them", "the last Thu 19 Nov 14:14 UTC, of adhoc:train.py@n7, 2.0 GPU-hours, $5.00"),
        ("those of this run", "1 of this run; 1 called wrong."),
    ],
)
def test_every_item_stands_in_both_forms(item: str, words: str) -> None:
    earlier = [
        notice(id="e1", opened_unix=NOW - 10 * DAY),
        notice(id="e2", key="k", runs=("adhoc:train.py@n7",), opened_unix=NOW - DAY, wasted_gpu_seconds=2 * HOUR,
               wrong="was compiling"),
    ]  # fmt: skip
    for form in forms(valid(first(earlier=earlier))):
        assert words in form, item


def test_the_run_has_its_link() -> None:
    (link,) = [leaf for leaf in leaves(first().blocks) if leaf["type"] == "link"]
    assert (link["url"], link["text"]) == (URL, "resnet-lr3")


def test_who_is_not_known_to_slack_is_named() -> None:
    message = addressed(opening(HALF_IDLE, terms=TERMS, earlier=(), now_unix=NOW), "ann<!here>", "")
    assert message.text.startswith("ann&lt;!here&gt;, your run resnet-lr3")
    assert "<" not in message.text
    assert not [leaf for leaf in leaves(message.blocks) if leaf["type"] == "user"]
    assert "ann<!here>" in shown(message)


def test_each_command_of_the_text_is_a_line_that_can_be_pasted() -> None:
    lines = first().text.splitlines()
    assert {"gpuwatch show wandb:xu3ab252", "nvidia-smi -i 0,1,2,3", "gpuwatch stop wandb:xu3ab252"} <= set(lines)


def test_without_a_price_no_money_is_told() -> None:
    for form in forms(first(terms=Terms(zone=UTC))):
        assert "$" not in form


def test_the_first_notice_says_so() -> None:
    assert "Earlier notices to you: none." in shown(first())


def test_moments_are_told_in_the_zone_of_the_people() -> None:
    assert "Fri 20 Nov 14:02 CET" in shown(first(terms=Terms(zone=ZoneInfo("Europe/Berlin"))))


def test_what_is_not_known_is_said() -> None:
    blind = held(0, memory=None, mean_use=None, mean_watts=None)
    text = shown(first(subject(run(blind, held_gpu_seconds=0.0, busy_gpu_seconds=0.0))))
    for words in ("use not known and power not known", "Memory held: not known", "0.0 GPU-hours"):
        assert words in text


def test_a_stuck_run_is_told_as_such() -> None:
    text = shown(valid(first(subject(run(held(0, STUCK), held(1, OK))))))
    for words in ("Stuck: 1 of 2 GPUs", "stuck (in full use, at the power of an idle GPU), since", "NCCL"):
        assert words in text


def test_of_what_is_partly_stuck_no_more_is_claimed() -> None:
    text = shown(valid(first(subject(run(held(0, STUCK), held(1))))))
    for words in ("Stuck or idle: 2 of 2 GPUs", "at the power of an idle GPU), or not used, since", "NCCL"):
        assert words in text


def test_a_job_without_a_process_is_ended_by_its_scheduler() -> None:
    about = run(held(0, RESERVED), owner=Owner("ann", "", "slurm:alps/4711_3"), name="")
    text = first(subject(about)).text
    assert "1 of 1 GPU is held without a process since" in text
    assert "End it:\nscancel 4711_3\n" in text
    begun = first(subject(about._replace(devices=(held(0, RESERVED), held(1, OK))))).text
    assert "End it:\ngpuwatch stop slurm:alps/4711_3\n" in begun
    forged = first(subject(about._replace(owner=Owner("ann", "", "slurm:-9 $(reboot)")))).text
    assert "scancel" not in forged


def test_what_was_not_seen_is_not_claimed() -> None:
    """It may have been at work while the agent was down: three hours of which 36 minutes were seen."""
    about = subject(run(held(0, since=NOW - 3 * HOUR, coverage=0.2, idle_seconds=36 * MINUTE)))
    for form in forms(valid(first(about))):
        assert "held and not used as far as it was seen since Fri 20 Nov 11:14 UTC." in form
        assert "20 % of that time seen" in form
    assert "Idle: 1 of 1 GPU for 36 min" in shown(first(about))
    assert "still idle: 1 of 1 GPU, for 36 min." in reminder(about, terms=TERMS, now_unix=NOW).text


def test_runs_of_an_array_on_several_nodes_are_one_message() -> None:
    runs = [
        run(held(gpu), node=f"n{gpu}", owner=Owner("ann", "vision", f"slurm:4711_{gpu}"), group="slurm:4711")
        for gpu in range(5)
    ]
    text = " ".join(shown(valid(first(subject(*runs)))).split())
    assert "your 5 runs of slurm:4711 (slurm:4711_0, slurm:4711_1, slurm:4711_2 and 2 more)" in text
    assert "n0 GPU 0; n1" not in text
    assert "n0 GPU 0, n1 GPU 1" in text
    assert "gpuwatch stop slurm:4711_2" in text
    assert "(and so for 2 more)" in text


def test_instances_are_asked_for_by_their_card() -> None:
    text = shown(
        first(subject(run(held(0)._replace(gpu="3:1"), held(1)._replace(gpu="3:10"), held(2)._replace(gpu="3:2"))))
    )
    assert "nvidia-smi -i 3" in text.splitlines()
    assert "n7 GPU 3:1, 3:2, 3:10" in text


# Causes


@pytest.mark.parametrize(
    ("about", "cause"),
    [
        (run(held(0), kind="interactive"), "outlives its last command"),
        (run(held(0), cpu_cores=6.5), "Its CPUs are busy (6.5 cores)"),
        (run(held(0), held(1), cpu_cores=0.4), "Its CPUs are quiet too (0.4 cores)"),
        (run(held(0), cpu_cores=None), "It hangs, waits for data"),
        (run(held(0, STUCK)), "A collective (NCCL) waits"),
        (run(held(0, RESERVED)), "an allocation that was left open"),
        (run(held(0), started_unix=SINCE - 60), "has not used them since it started"),
        (run(held(0), held(1, OK)), "It works on 1 GPU and holds 2"),
    ],
)
def test_the_likely_causes_fit_what_is_known(about: RunNow, cause: str) -> None:
    assert cause in " ".join(likely_causes(subject(about)))


# As it goes on


def test_a_reminder_says_what_it_costs_by_now_and_what_to_do() -> None:
    for form in forms(valid(addressed(reminder(HALF_IDLE, terms=TERMS, now_unix=NOW), "ann", "U1"))):
        for words in (
            "<@U1>, your run resnet-lr3",
            "is still idle: 4 of 8 GPUs, for 1 h 12 min",
            "$12",
            "gpuwatch stop",
        ):
            assert words in form


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("busy", "busy again since 14:02"),
        ("ended", "ended after Fri 20 Nov 13:57 UTC"),
        ("snoozed", "said to be meant"),
    ],
)
def test_its_end_is_told_in_the_thread_and_in_its_place(reason: str, words: str) -> None:
    over = notice(
        closed_unix=NOW - 12 * MINUTE, seen_unix=NOW - 17 * MINUTE, close_reason=reason, wasted_gpu_seconds=3.1 * HOUR
    )
    for message in (closing(over, terms=TERMS), closed(over, terms=TERMS)):
        for form in forms(valid(addressed(message, "ann", "U1"))):
            assert "3.1 GPU-hours, $7.75" in form
            assert "wandb:xu3ab252" in form
        assert words in shown(message)
    assert "<@" not in closing(over, terms=TERMS).text, "nobody is called for good news"


def test_a_false_alarm_is_told_as_one_at_its_end() -> None:
    assert "Called a false alarm: it compiles." in shown(
        closed(notice(closed_unix=NOW, wrong="it compiles"), terms=TERMS)
    )


# A digest


def many(number: int, name: str = "") -> list[Subject]:
    return subjects(
        run(held(n, since=SINCE - n), owner=Owner("ann", "p", f"{name or 'wandb:'}{n}"), name=name, node=f"n{n}")
        for n in range(number)
    )


def test_a_digest_has_all_of_them_the_dearest_first() -> None:
    message = valid(addressed(digest(many(4), terms=TERMS, earlier=(), now_unix=NOW), "ann", "U1"))
    for form in forms(message):
        assert "<@U1>, you hold 4 GPUs that 4 runs of yours do not use. So far 4.8 GPU-hours, $12." in form
        places = [form.index(f"wandb:{number}") for number in (3, 2, 1, 0)]
        assert places == sorted(places)
        for words in ("gpuwatch show wandb:3", "gpuwatch stop wandb:3", "--wrong", "Nothing is stopped", "61 GiB"):
            assert words in form


def test_a_long_digest_leaves_out_what_wasted_least() -> None:
    text = shown(valid(addressed(digest(many(40), terms=TERMS, earlier=(), now_unix=NOW), "ann", "U1")))
    assert "30 more wasted less, and are left out here." in text


# Hostile names


def test_what_somebody_calls_a_run_is_never_markup_nor_a_second_command() -> None:
    about = run(
        held(0), name=HOSTILE, owner=Owner("ann", HOSTILE, f"adhoc:{HOSTILE}"), node=HOSTILE, url="javascript:x"
    )
    message = valid(first(subject(about)))
    commands = [leaf for leaf in leaves(message.blocks) if leaf["type"] == "rich_text_preformatted"]
    for command in commands:
        for line in command["elements"][0]["text"].splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] in ("gpuwatch", "nvidia-smi")
            assert "$(reboot)" not in words
    assert "\u202e" not in shown(message)
    assert not [leaf for leaf in leaves(message.blocks) if leaf["type"] == "link"]


@given(
    name=st.text(max_size=300), number=st.integers(1, 40), group=st.text(max_size=200), url=st.text(max_size=100),
    reason=st.text(max_size=2000),
)  # fmt: skip
def test_any_name_makes_a_message_that_slack_takes(name: str, number: int, group: str, url: str, reason: str) -> None:
    runs = [
        run(
            held(n, reason=reason), name=name, owner=Owner("ann", name, f"{name}{n if group else ''}"),
            node=f"{name}{n}", group=group, url=f"https://{url}",
        )
        for n in range(number)
    ]  # fmt: skip
    about = subject(*runs)
    over = notice(runs=tuple(one.owner.run for one in runs), nodes=(name,), closed_unix=NOW, wrong=name)
    for message in (
        opening(about, terms=TERMS, earlier=[over] * 3, now_unix=NOW),
        reminder(about, terms=TERMS, now_unix=NOW),
        digest([about] * 12, terms=TERMS, earlier=[over], now_unix=NOW),
        closing(over, terms=TERMS),
        closed(over, terms=TERMS),
    ):
        valid(addressed(message, name, "U1"))
