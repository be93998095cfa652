"""`gpuwatch top`: who is on which GPU, on a full screen that follows it."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpuwatch.cli.live import AgentAt, Way, agent_options, fleet_options, selection_of, selection_options, way_of
from gpuwatch.cli.status import show, width
from gpuwatch.terminal.page import page
from gpuwatch.terminal.rows import rows_of

if TYPE_CHECKING:
    from gpuwatch.terminal.keyboard import Keyboard
    from gpuwatch.terminal.screen import Looker, View
    from gpuwatch.terminal.watch import Watch

_REDRAW_SECONDS = 5.0
_LATE_SECONDS = 10.0
"""A reading that takes longer is told: what is on the screen is older."""
_PATIENCE_SECONDS = 2.0
"""What a reading that is under way may still take at the end."""


@click.command()
@selection_options
@agent_options
@fleet_options
def top(
    *, users: Sequence[str], nodes: Sequence[str], verdicts: Sequence[str], idle: bool, free: bool, sort: str,
    no_color: bool, listen: str, ca_file: Path | None, login: str | None, password_file: Path | None,
    prometheus: str | None, config: Path | None,
) -> None:  # fmt: skip
    """Follow who is on which GPU, on a full screen; where there is none, show it once.

    Keys: q quits, s sorts, f filters, arrows choose a row, of which more is told below. Looks for itself where there is
    no agent.
    """
    logging.basicConfig(level=logging.CRITICAL)
    selection = selection_of(users=users, nodes=nodes, verdicts=verdicts, idle=idle, free=free)
    way = way_of(AgentAt(listen, ca_file, login, password_file), prometheus=prometheus, config=config)
    if _is_screen():
        from gpuwatch.terminal.screen import Looker, View  # noqa: PLC0415  only for a screen

        _follow(way, Looker(_person(), selection), View(sort=sort), no_color=no_color)
        return
    with closing(way):
        scene = way.read()
    show(page(scene, rows_of(scene.nodes, selection, sort=sort), width()), no_color=no_color)


def _is_screen() -> bool:
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stdout.isatty()):  # a service may have none
        return False
    return os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def _person() -> str:
    from gpuwatch.attribute.people import People  # noqa: PLC0415  see above
    from gpuwatch.cli.source import configured, read_viewer  # noqa: PLC0415
    from gpuwatch.errors import UsageError  # noqa: PLC0415

    try:
        return read_viewer(configured(None).settings.people)
    except UsageError:  # a wrong configuration, or no home: the screen is for those too
        return read_viewer(People())


def _size() -> os.terminal_size:
    """Of the terminal now; the usual one where it does not know its own."""
    size = os.get_terminal_size(sys.stdout.fileno())
    return size if size.columns and size.lines else os.terminal_size((80, 24))


def _problem(watch: Watch) -> str:
    """Why what is on the screen is not of now; empty where it is."""
    from gpuwatch.terminal.words import length  # noqa: PLC0415  see above

    seconds = watch.asking_seconds()
    return f"no answer for {length(seconds)}: this is older" if seconds > _LATE_SECONDS else watch.problem


def _follow(way: Way, looker: Looker, view: View, *, no_color: bool) -> None:
    """Until somebody quits, or a signal says so."""
    from gpuwatch.terminal.keyboard import Keyboard  # noqa: PLC0415  see above
    from gpuwatch.terminal.watch import Watch  # noqa: PLC0415

    scene = way.read()  # before the screen is taken, so that what is wrong can be told
    keyboard = Keyboard(sys.stdin.fileno())
    watch = Watch(scene, read=way.read, close=way.close, wake=keyboard.wake, period=way.period_seconds)
    watch.start()
    try:
        while (after := _draw(watch, keyboard, looker, view, no_color=no_color)) is not None:
            view = after
            os.kill(os.getpid(), signal.SIGSTOP)  # the terminal is given back: stand aside until somebody says on
    finally:
        watch.stop(_PATIENCE_SECONDS)


def _draw(watch: Watch, keyboard: Keyboard, looker: Looker, view: View, *, no_color: bool) -> View | None:
    """Draw until somebody quits; the view, where it is to be suspended instead."""
    from gpuwatch.terminal.keys import QUIT  # noqa: PLC0415  see above
    from gpuwatch.terminal.painting import full_screen, has_colour, renderable  # noqa: PLC0415
    from gpuwatch.terminal.screen import pressed, screen  # noqa: PLC0415

    colour = has_colour(os.environ, asked_not=no_color, terminal=True)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a name may have letters that the terminal has not
    with keyboard.taken(), full_screen(sys.stdout, colour=colour) as draw:
        while not (keyboard.ended or keyboard.suspended):
            watch.check()
            scene, size = watch.scene, _size()
            rows = looker.rows(scene, view)
            lines = screen(scene, rows, view, width=size.columns, height=size.lines, problem=_problem(watch))
            draw(renderable(lines), size)
            for key in keyboard.wait(_REDRAW_SECONDS):
                if key == QUIT:
                    return None
                view = pressed(view, key, rows=len(looker.rows(scene, view)), height=size.lines)
    return None if keyboard.ended else view
