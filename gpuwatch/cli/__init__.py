"""The command line: one file a command, each importing what it alone needs. The only folder that knows click."""

from __future__ import annotations

import sys

import click

from gpuwatch import __version__
from gpuwatch.cli.agent import agent
from gpuwatch.cli.check import check
from gpuwatch.cli.config import config
from gpuwatch.cli.demo import demo
from gpuwatch.cli.explain import explain
from gpuwatch.cli.maintenance import maintenance
from gpuwatch.cli.run import run
from gpuwatch.cli.service import install_service, uninstall_service
from gpuwatch.cli.status import status
from gpuwatch.errors import GpuwatchError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gpuwatch")
def command() -> None:
    """See what every GPU does, whose run is doing it, and what it adds up to."""


command.add_command(agent)
command.add_command(check)
command.add_command(config)
command.add_command(demo)
command.add_command(explain)
command.add_command(maintenance)
command.add_command(run)
command.add_command(status)
command.add_command(install_service)
command.add_command(uninstall_service)


def main() -> None:
    """The entry point: an error that a person can act on is a line, several are as many, and exit status 2."""
    try:
        command()
    except GpuwatchError as error:
        for line in str(error).split("\n"):
            click.echo(f"gpuwatch: {line}", err=True)
        sys.exit(2)
