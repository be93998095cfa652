"""Lines in colours, or plain, as `rich` draws them. Whether there are to be colours is an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import terminal_size
from typing import Final, TextIO

from rich.color import ColorSystem
from rich.console import Console, Group
from rich.live import Live
from rich.style import Style
from rich.text import Text

from gpuwatch.terminal.table import BAD, CHOSEN, GOOD, HEAD, QUIET, WARN, Line, text_of

STYLES: Final[Mapping[str, Style]] = {
    HEAD: Style(bold=True),
    GOOD: Style(color="green"),
    WARN: Style(color="yellow"),
    BAD: Style(color="red"),
    QUIET: Style(dim=True),
    CHOSEN: Style(reverse=True),
}


def has_colour(environment: Mapping[str, str], *, asked_not: bool, terminal: bool) -> bool:
    """Whether there are to be colours, by https://no-color.org too."""
    return terminal and not asked_not and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def painted(lines: Iterable[Line], *, colour: bool) -> str:
    """As text for a terminal, with its escapes where there are to be colours."""
    return "\n".join(_painted(line) if colour else text_of(line) for line in lines)


def renderable(lines: Iterable[Line]) -> Group:
    """As `rich` draws it."""
    return Group(*(_text(line) for line in lines))


@contextmanager
def full_screen(file: TextIO, *, colour: bool) -> Iterator[Callable[[Group, terminal_size], None]]:
    """The whole terminal, until the end of this: a function that draws on it, at the size that it has now."""
    console = Console(file=file, force_terminal=True, no_color=not colour, highlight=False)
    with Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:

        def draw(what: Group, size: terminal_size) -> None:
            console.size = size
            live.update(what, refresh=True)

        yield draw


def _painted(line: Line) -> str:
    end = len(text_of(line))
    parts = []
    for cell in line:
        text, end = cell.text[:end], end - len(cell.text[:end])
        style = STYLES.get(cell.style)
        parts.append(style.render(text, color_system=ColorSystem.STANDARD) if style and text.strip() else text)
    return "".join(parts)


def _text(line: Line) -> Text:
    text = Text(no_wrap=True, overflow="crop", end="\n")
    for cell in line:
        text.append(cell.text, STYLES.get(cell.style))
    return text
