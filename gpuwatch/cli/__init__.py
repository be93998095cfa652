"""The command line: one file a command, each importing what it alone needs. The only folder that knows click."""

from __future__ import annotations

import sys

import click

from gpuwatch import __version__
from gpuwatch.cli.agent import agent
from gpuwatch.cli.status import status
from gpuwatch.errors import GpuwatchError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gpuwatch")
def command() -> None:
    """See what every GPU does, whose run is doing it, and what it adds up to."""


command.add_command(agent)
command.add_command(status)


def main() -> None:
    """The entry point: errors that a person can act on are one line, and exit status 2."""
    try:
        command()
    except GpuwatchError as error:
        click.echo(f"gpuwatch: {error}", err=True)
        sys.exit(2)
