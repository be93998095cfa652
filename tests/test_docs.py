"""The docs tell the truth: every metric, command, option and make target is there, and nothing that is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gpuwatch import __version__
from gpuwatch.cli import command

ROOT = Path(__file__).parent.parent
METRICS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
GOLDEN = (ROOT / "tests" / "golden" / "metrics.prom").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_metrics_documented_are_those_exposed() -> None:
    rows = [line for line in METRICS.splitlines() if line.startswith("| `gpuwatch_")]
    documented = {name for row in rows for name in re.findall(r"`(gpuwatch_\w+)`", row.split("|")[1])}
    assert documented == set(re.findall(r"^# TYPE (\w+)", GOLDEN, re.MULTILINE))


def test_the_labels_documented_are_those_exposed() -> None:
    for row in [line for line in METRICS.splitlines() if line.startswith("| `gpuwatch_")]:
        names, _, labels, _ = (cell.strip() for cell in row.strip("|").split("|"))
        for name in re.findall(r"`(gpuwatch_\w+)`", names):
            sample = next(line for line in GOLDEN.splitlines() if re.match(rf"{name}[{{ ]", line))
            exposed = set(re.findall(r'(\w+)="', sample)) - {"node"}
            assert exposed == {label for label in re.split(r", ", labels) if label}, name


def commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands below a group, by what is typed after `gpuwatch`."""
    context = click.Context(group)
    for name in group.list_commands(context):
        member = group.get_command(context, name)
        assert member is not None, name
        yield above + name, member
        if isinstance(member, click.Group):
            yield from commands(member, f"{above}{name} ")


@pytest.mark.parametrize(("name", "member"), list(commands(command)))
def test_every_command_and_option_is_in_the_readme(name: str, member: click.Command) -> None:
    assert f"gpuwatch {name}" in README
    for option in member.params:
        if isinstance(option, click.Option):
            assert option.opts[0] in README, f"{name} {option.opts[0]}"


def test_the_readme_names_only_what_is_there() -> None:
    for target in re.findall(r"`make (\w+)", README):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target
    for path in re.findall(r"\]\(([\w./-]+?)(?:#[\w-]+)?\)", README):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`gpuwatch (\w[\w-]*)", README):
        assert name in command.list_commands(click.Context(command)), name


def test_the_changelog_has_this_version() -> None:
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
