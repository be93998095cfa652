"""`gpuwatch dashboards`: the dashboards for Grafana."""

from __future__ import annotations

from pathlib import Path

import click

from gpuwatch.cli.output import whole_file
from gpuwatch.errors import UsageError


@click.command()
@click.option(
    "--output", metavar="DIR", type=click.Path(path_type=Path), required=True, help="Write them into DIR, a file each."
)
def dashboards(output: Path) -> None:
    """Write the dashboards for Grafana, to be provisioned or imported there."""
    from gpuwatch.dashboards.packaged import packaged  # noqa: PLC0415  only this command needs them

    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {output} must be a folder, or one that can be made: {error.strerror}") from error
    for name, text in packaged().items():
        with whole_file(output / name) as file:
            file.write(text)
        click.echo(f"wrote {output / name}")
