"""The command line: one file a command, loaded when that command is called. The only folder that knows click."""

from __future__ import annotations

import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Final

import click

from gpuwatch import __version__
from gpuwatch.errors import GpuwatchError

_FILES: Final = {"install-service": "service", "uninstall-service": "service"}
"""Of the commands that are not in a file of their own name."""
_COMMANDS: Final = (
    "agent", "alerts", "check", "compare", "config", "dashboards", "demo", "explain", "export", "free",
    "install-service", "maintenance", "notify", "report", "rules", "run", "show", "snooze", "status", "stop", "top",
    "uninstall-service",
)  # fmt: skip


class _Commands(click.Group):
    """All commands, of which the agent is to carry no other: they would be most of a MiB."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, as the help has them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name; None where there is none."""
        if cmd_name not in _COMMANDS:
            return None
        file = import_module(f"gpuwatch.cli.{_FILES.get(cmd_name, cmd_name)}")
        found: click.Command = getattr(file, cmd_name.replace("-", "_"))
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gpuwatch")
def command() -> None:
    """See what every GPU does, whose run is doing it, and what it adds up to."""


def main() -> None:
    """The entry point: an error that a person can act on is a line, several are as many, and exit status 2."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a line of blocks, to a terminal that has none, is no reason to end
    try:
        command()
    except GpuwatchError as error:
        for line in str(error).split("\n"):
            click.echo(f"gpuwatch: {line}", err=True)
        sys.exit(2)
