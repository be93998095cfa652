"""`gpuwatch notify`: telling the people of a whole fleet, by what Alertmanager says."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import click


@click.command()
@click.option(
    "--listen", metavar="HOST:PORT", default="127.0.0.1:9470", show_default=True, help="Where Alertmanager posts."
)
@click.option("--prometheus", metavar="URL", help="Where the evidence is.  [default: prometheus.url]")
@click.option(
    "--state-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where it is kept what was told.  [default: gpuwatch-notify beside the agent's]",
)
@click.option(
    "--web-config",
    metavar="FILE",
    type=click.Path(readable=False, path_type=Path),
    help="TLS and basic auth, as for Prometheus's exporters.",
)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(readable=False, path_type=Path),
    help="[default: /etc/gpuwatch/config.toml]",
)
def notify(
    listen: str, prometheus: str | None, state_dir: Path | None, web_config: Path | None, config: Path | None
) -> None:
    """Tell the owners of idle runs, for the whole fleet: Alertmanager says of which, Prometheus has the evidence."""
    from gpuwatch.agent.config import load  # noqa: PLC0415  only this command needs a server and a sender
    from gpuwatch.cli.source import server_at  # noqa: PLC0415
    from gpuwatch.export.web import read_web  # noqa: PLC0415
    from gpuwatch.notify.receiver import Place, Receiver  # noqa: PLC0415
    from gpuwatch.sense.clocks import read_unix  # noqa: PLC0415
    from gpuwatch.state.file import default_directory  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    settings = load(flags={}, environment=os.environ, path=config).settings
    settings = replace(settings, prometheus=server_at(settings.prometheus, prometheus))
    directory = state_dir or default_directory().with_name("gpuwatch-notify")
    web = read_web(web_config) if web_config is not None else None
    Receiver(settings, Place(listen, directory.absolute(), web), read_unix=read_unix).run()
