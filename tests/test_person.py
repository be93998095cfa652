"""The person behind a process: whoever the kernel says, and for root and in containers whom the run names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuwatch.attribute.case import Claim, Confidence
from gpuwatch.attribute.person import person_of, read_user_name

RULES = ("registered", "declared", "wandb", "mlflow", "slurm", "kubernetes", "container", "adhoc")


def claims(**users: str) -> list[Claim]:
    """Claims of these rules, with a person each, in the order of the resolver."""
    return [
        Claim(rule=rule, evidence="", confidence=Confidence.CERTAIN, user=users[rule])
        for rule in RULES
        if rule in users
    ]


EVERYBODY = {rule: f"of-{rule}" for rule in RULES}


def test_users_without_a_name_are_their_number() -> None:
    assert read_user_name(0) == "root"
    assert read_user_name(3_999_999_999) == "uid:3999999999"


@pytest.mark.parametrize(("uid", "name"), [(1000, "ann"), (60_001, "ann"), (3_999_999_999, "uid:3999999999")])
def test_an_ordinary_user_is_who_the_kernel_says(uid: int, name: str) -> None:
    assert person_of(name, uid, claims(**EVERYBODY), in_container=False) == name


@pytest.mark.parametrize(
    ("uid", "in_container"), [(0, False), (0, True), (107, False), (999, False), (65534, False), (1000, True)]
)
@pytest.mark.parametrize(
    ("silent", "person"),
    [
        ((), "of-registered"),
        (("registered",), "of-declared"),
        (("registered", "declared"), "of-container"),
        (("registered", "declared", "container"), "of-slurm"),
        (("registered", "declared", "container", "slurm"), "of-wandb"),
        (("registered", "declared", "container", "slurm", "wandb"), "of-kubernetes"),
        (("registered", "declared", "container", "slurm", "wandb", "kubernetes"), "unix"),
    ],
)
def test_root_system_users_and_containers_are_whom_their_run_names(
    uid: int, in_container: bool, silent: tuple[str, ...], person: str
) -> None:
    said = claims(**{rule: user for rule, user in EVERYBODY.items() if rule not in silent})
    assert person_of("unix", uid, said, in_container=in_container) == person


def test_root_is_nobody_in_particular() -> None:
    """A job submitted as root tells no more than its uid, and hides nobody whom another rule knows."""
    assert person_of("root", 0, claims(slurm="root", wandb="ann"), in_container=False) == "ann"
    assert person_of("root", 0, claims(slurm="root"), in_container=False) == "root"


def test_without_a_claim_the_uid_stands() -> None:
    assert person_of("root", 0, [], in_container=True) == "root"


@given(st.text(st.characters(codec=None), max_size=300), st.sampled_from(RULES))
def test_whatever_is_claimed_a_person_is_a_short_label(text: str, rule: str) -> None:
    person = person_of("root", 0, claims(**{rule: text}), in_container=True)
    assert 0 < len(person) <= 128
    person.encode("utf-8")
