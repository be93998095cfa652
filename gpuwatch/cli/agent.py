"""`gpuwatch agent`: the daemon."""

from __future__ import annotations

import logging
from pathlib import Path

import click


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Where to serve.  [default: 127.0.0.1:9469]")
@click.option("--node", metavar="NAME", help="This node's name on every series.  [default: the host name]")
@click.option("--state-dir", metavar="DIR", type=click.Path(path_type=Path), help="Where totals are kept.")
@click.option("--interval", metavar="SECONDS", type=float, help="Time between readings.  [default: 1]")
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="[default: /etc/gpuwatch/config.toml]")
def agent(
    listen: str | None, node: str | None, state_dir: Path | None, interval: float | None, config: Path | None
) -> None:
    """Watch this node's GPUs: sample, account, and serve /metrics, /api/v1/status and /healthz."""
    from gpuwatch.agent.daemon import Agent  # noqa: PLC0415  only this command needs the server and the driver
    from gpuwatch.agent.settings import Settings  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    settings = Settings.of(config=config, listen=listen, node=node, state_directory=state_dir, interval=interval)
    Agent(settings).run()
