"""`gpuwatch rules`: the rules for Prometheus."""

from __future__ import annotations

from pathlib import Path

import click

from gpuwatch.errors import GpuwatchError


@click.command()
@click.option("--output", metavar="DIR", type=click.Path(path_type=Path), help="Write them into DIR as files.")
def rules(output: Path | None) -> None:
    """Print the recording rules that make reports over a fleet cheap, for rule_files of Prometheus."""
    from gpuwatch.report.rules import FILE_NAME, rules_text  # noqa: PLC0415  only this command needs them

    if output is None:
        click.echo(rules_text(), nl=False)
    else:
        click.echo(f"wrote {_write(output / FILE_NAME, rules_text())}")


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
