"""`gpuwatch install-service` and `gpuwatch uninstall-service`: the agent as a systemd service, and a report's timer."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gpuwatch import __version__
from gpuwatch.errors import UsageError

_ROOT = click.option(
    "--root",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="Into the image of a system at DIR; nothing is started.",
)
_TIMER = """\
On one host of the fleet, this has last week's report sent to Slack each Monday:
  systemctl enable --now gpuwatch-report.timer"""
_NEXT = """
  gpuwatch status             who is on what
  systemctl status gpuwatch   how the agent fares
  journalctl -u gpuwatch      what it said
  systemctl edit gpuwatch     to change how it is started"""


@click.command("install-service")
@_ROOT
def install_service(root: Path | None) -> None:
    """Install the agent as a systemd service, and start it. Safe to repeat; after an update, repeat it."""
    from gpuwatch.cli.config import example  # noqa: PLC0415  the other commands need none of this
    from gpuwatch.service.install import install, start  # noqa: PLC0415
    from gpuwatch.service.installation import check_installation, this_installation  # noqa: PLC0415
    from gpuwatch.service.place import Place  # noqa: PLC0415
    from gpuwatch.service.systemctl import Systemctl  # noqa: PLC0415

    _require_root("install-service")
    systemctl = Systemctl(root)
    place = Place(root or Path("/"))
    command = check_installation(this_installation(), place.root)
    written = install(place, systemctl, command=command, version=__version__, config=example())
    for path in written:
        click.echo(f"wrote {path}")
    if not systemctl.live:
        click.echo(f"gpuwatch.service is enabled: it starts with the image\n{_TIMER}")
        return
    status = start(systemctl, anew=place.unit in written)
    click.echo(f"gpuwatch.service is active: {status}\n{_NEXT}\n\n{_TIMER}")


@click.command("uninstall-service")
@_ROOT
@click.option("--purge", is_flag=True, help="The record and an edited configuration too.")
def uninstall_service(root: Path | None, purge: bool) -> None:
    """Stop and remove the systemd service. What people wrote and the record of the node stay."""
    from gpuwatch.service.install import uninstall  # noqa: PLC0415  the other commands need none of this
    from gpuwatch.service.place import Place  # noqa: PLC0415
    from gpuwatch.service.systemctl import Systemctl  # noqa: PLC0415

    _require_root("uninstall-service")
    removal = uninstall(Place(root or Path("/")), Systemctl(root), purge=purge)
    for path in removal.removed:
        click.echo(f"removed {path}")
    if not removal.removed:
        click.echo("nothing to remove: gpuwatch.service is not installed")
    for path in removal.kept:
        click.echo(f"kept {path} (--purge removes it)")


def _require_root(command: str) -> None:
    if os.geteuid() != 0:
        raise UsageError(f"{command} needs root: run it with sudo")
