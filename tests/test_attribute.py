"""Who is that? The ad-hoc rule, the folding, and what hostile text becomes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuwatch.attribute.case import Case, Claim, Site, Traces
from gpuwatch.attribute.fold import Bounds, Folder
from gpuwatch.attribute.person import read_user_name
from gpuwatch.attribute.resolver import Resolver
from gpuwatch.attribute.rules.adhoc import adhoc_rule, launch_root, run_id, run_name
from gpuwatch.attribute.text import clean
from gpuwatch.cli.explain import text
from gpuwatch.model import Identity, Lineage, Owner, Process, Run
from gpuwatch.units import base36


def process(pid: int, name: str, *arguments: str, uid: int = 1000) -> Process:
    return Process(Identity(pid, pid * 100), pid - 1, uid, name, arguments or (name,))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("python", "train.py", "--lr", "1"), "train.py"),
        (("/opt/conda/bin/python3.11", "-u", "-W", "ignore", "/home/ann/exp/train.py"), "train.py"),
        (("python", "-m", "pkg.train", "--config", "a.py"), "pkg.train"),
        (("python", "/usr/bin/torchrun", "--nproc-per-node=8", "src/train.py"), "train.py"),
        (("python", "-m", "torch.distributed.run", "--nnodes", "2", "ddp.py"), "ddp.py"),
        (("python", "-c", "secret = 'hunter2'"), "python"),
        (("python", "-uc", "secret = 'hunter2'"), "python"),
        (("python", "-csecret = 2", "hunter2"), "python"),
        (("julia", "--project", "-e", 'login("a/hunter2")'), "julia"),
        (("python", "-um", "pkg.train"), "pkg.train"),
        (("python", "-E", "-Xdev", "train.py"), "train.py"),
        (("python",), "python"),
        (("./simulate", "--token=abc"), "simulate"),
        (("",), "kernel name"),
    ],
)
def test_a_run_is_called_as_people_call_it(arguments: tuple[str, ...], name: str) -> None:
    assert run_name(process(9, "kernel name", *arguments)) == name.replace(" ", "_")


def test_arguments_never_get_into_the_name() -> None:
    name = run_name(process(9, "python", "python", "train.py", "--api-key=hunter2"))
    assert "hunter2" not in name


@pytest.mark.parametrize(
    ("above", "root"),
    [
        (["bash"], 9),
        (["python", "bash"], 8),
        (["torchrun", "python", "tmux: server"], 7),
        (["python", "sshd: ann@pts/0"], 8),
        (["-zsh", "python"], 9),
        (["python", "slurmstepd"], 8),
        ([], 9),
    ],
)
def test_the_launch_root_is_what_somebody_started(above: list[str], root: int) -> None:
    members = [process(9, "python"), *(process(8 - i, name) for i, name in enumerate(above))]
    assert launch_root(Lineage(tuple(members))).identity.pid == root


def test_a_launcher_of_another_user_is_not_the_root() -> None:
    lineage = Lineage((process(9, "python"), process(8, "jupyterhub", uid=0)))
    assert launch_root(lineage).identity.pid == 9


def test_a_run_id_has_the_start_and_the_pid_of_its_root_and_its_node() -> None:
    assert run_id("train.py", started_unix=1_790_000_000.9, pid=4711, node="n7") == "adhoc:train.py-tlpwu8.3mv@n7"
    assert base36(0) == "0"
    assert int(base36(1_790_000_000), 36) == 1_790_000_000


def test_two_launches_in_one_moment_are_two_runs() -> None:
    ids = {run_id("train.py", started_unix=1_790_000_000.0, pid=pid, node="n7") for pid in (4711, 4712)}
    assert len(ids) == 2


def test_a_name_does_nothing_to_the_terminal_of_who_asks() -> None:
    hostile = process(9, "\x1b]0;x\x07py", "python", "train.py")
    case = Case(Lineage((hostile,)), hostile, 1_790_000_009.0, "ann", Site("n7"))
    said = text(case, Resolver().resolve({9: case})[9])
    assert "train.py" in said
    assert said.replace("\n", "").isprintable()


def test_users_without_a_name_are_their_number() -> None:
    assert read_user_name(0) == "root"
    assert read_user_name(3_999_999_999) == "uid:3999999999"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("plain-name_1.py", "plain-name_1.py"),
        ('quo"te\\back', 'quo"te\\back'),
        ("line\nbreak\ttab\x00nul\x1b[31m", "linebreaktabnul[31m"),
        ("\u202egnp.exe\u2066", "gnp.exe"),
        ("lone \udcff surrogate", "lone  surrogate"),
        ("  spaced  ", "spaced"),
        ("snowman \u2603", "snowman \u2603"),
        ("`} or vector(1)", "'} or vector(1)"),
    ],
)
def test_labels_are_cleaned(text: str, label: str) -> None:
    assert clean(text) == label


@given(st.text(st.characters(codec=None), max_size=1000))
def test_any_text_becomes_a_short_label_in_utf8(text: str) -> None:
    label = clean(text)
    assert len(label) <= 128
    label.encode("utf-8")


def test_a_process_is_judged_once_and_again_when_its_case_has_changed() -> None:
    judged: list[Case] = []

    def rule(case: Case) -> Claim | None:
        judged.append(case)
        return adhoc_rule(case)

    resolver = Resolver((rule,))
    trainer = process(9, "python", "python", "train.py")
    case = Case(Lineage((trainer,)), trainer, 1_790_000_009.0, "ann", Site("n7"))
    first = resolver.resolve({9: case})
    assert resolver.resolve({9: replace(case)}) == first
    assert len(judged) == 1
    assert first[9].run.owner == Owner("ann", "", "adhoc:train.py-tlpwuh.9@n7")
    assert first[9].run.started_unix == 1_790_000_009.0
    resolver.resolve({9: replace(case, traces=Traces({"RANK": "1"}))})
    assert len(judged) == 2


RUN = Run(Owner("ann", "", "adhoc:train.py-k3f9z2@n7"), Identity(9, 900), 1000.0, "adhoc", "train.py")


def fold(folder: Folder, run: Run, age: float, *shown: Owner, people: set[tuple[str, str]] | None = None) -> Owner:
    return folder.owner(run, age=age, shown=set(shown), people=people if people is not None else set())


def test_the_first_minute_of_an_adhoc_run_is_short() -> None:
    folder = Folder(Bounds(short_run_seconds=60))
    assert fold(folder, RUN, 59.9) == Owner("ann", "", "short")
    assert fold(folder, RUN, 60.0) == RUN.owner


def test_a_recognised_run_has_its_series_at_once() -> None:
    assert fold(Folder(Bounds()), replace(RUN, source="wandb"), 0.0) == RUN.owner


def test_over_the_cap_a_run_overflows_for_good() -> None:
    folder = Folder(Bounds(short_run_seconds=0, run_series=1))
    other = Owner("ben", "", "adhoc:x-1@n7")
    assert fold(folder, RUN, 2000.0, other) == Owner("ann", "", "overflow")
    assert fold(folder, RUN, 2001.0) == Owner("ann", "", "overflow"), "even when there is room again"
    folder.forget(set())
    assert fold(folder, RUN, 2002.0) == RUN.owner


def test_a_run_with_a_series_keeps_it_at_the_cap() -> None:
    assert fold(Folder(Bounds(short_run_seconds=0, run_series=1)), RUN, 2000.0, RUN.owner) == RUN.owner


def test_one_user_cannot_use_up_the_pairs_of_others() -> None:
    folder, people = Folder(Bounds(people=10)), set[tuple[str, str]]()
    for number in range(50):
        run = replace(RUN, owner=Owner("eve", f"p{number}", f"wandb:{number}"), source="wandb")
        assert fold(folder, run, 0.0, people=people).user == "eve"
    ann = replace(RUN, source="wandb")
    assert fold(folder, ann, 0.0, people=people) == ann.owner


def test_over_the_cap_of_people_the_sum_of_a_user_stays_right() -> None:
    folder = Folder(Bounds(short_run_seconds=0, people=1))
    known = replace(RUN, owner=Owner("ann", "new", "r1"), source="wandb")
    assert fold(folder, known, 2000.0, people={("ann", "old")}) == Owner("ann", "overflow", "overflow")
    stranger = replace(RUN, owner=Owner("eve", "new", "r2"), source="wandb")
    assert fold(folder, stranger, 2000.0, people={("ann", "old")}) == Owner("overflow", "overflow", "overflow")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.text("xyz", max_size=2), st.integers(0, 30)), max_size=60))
def test_series_are_bounded_whatever_comes(runs: list[tuple[str, str, int]]) -> None:
    folder = Folder(Bounds(short_run_seconds=0, run_series=5, people=4))
    shown: set[Owner] = set()
    people: set[tuple[str, str]] = set()
    for user, project, number in runs:
        run = Run(Owner(user, project, f"wandb:{number}"), Identity(1, 1), 0.0, "wandb")
        owner = folder.owner(run, age=1.0, shown=shown, people=people)
        assert owner.user in (user, "overflow")
    users = len({user for user, _ in people})
    assert len(people) <= 4 + users
    assert len([owner for owner in shown if owner.run != "overflow"]) <= 5
