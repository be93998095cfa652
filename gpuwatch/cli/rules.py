"""`gpuwatch rules`: the rules for Prometheus, and the route for Alertmanager."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import click

from gpuwatch.errors import GpuwatchError

_OF: Final = ("records", "alerts", "routes")


class _File(NamedTuple):
    name: str
    text: str


@click.command()
@click.option("--of", type=click.Choice(_OF), default="records", help="Which to print.  [default: records]")
@click.option("--output", metavar="DIR", type=click.Path(path_type=Path), help="Write all of them into DIR as files.")
def rules(of: str, output: Path | None) -> None:
    """Print rules for Prometheus.

    The recording rules make reports over a fleet cheap, the alerting rules tell of idle runs and broken agents, and the
    routes are a fragment for the configuration of Alertmanager.
    """
    files = _files()
    if output is None:
        click.echo(files[of].text, nl=False)
        return
    for file in files.values():
        click.echo(f"wrote {_write(output / file.name, file.text)}")


def _files() -> Mapping[str, _File]:
    from gpuwatch.alert import routing, rules  # noqa: PLC0415  only this command needs them
    from gpuwatch.report import rules as records  # noqa: PLC0415

    return {
        "records": _File(records.FILE_NAME, records.rules_text()),
        "alerts": _File(rules.FILE_NAME, rules.alerts_text()),
        "routes": _File(routing.FILE_NAME, routing.routing_text()),
    }


def _write(path: Path, text: str) -> Path:
    """Raises GpuwatchError, and leaves what was there as it was."""
    from gpuwatch.service.place import write  # noqa: PLC0415

    try:
        write(path, text.encode())
    except OSError as error:
        raise GpuwatchError(
            f"cannot write {path}: {error.strerror}; --output is a folder that you may write in"
        ) from error
    return path
