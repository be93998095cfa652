"""`gpuwatch agent`: the daemon."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import click


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Where to serve.  [default: 127.0.0.1:9469]")
@click.option("--node", metavar="NAME", help="This node's name on every series.  [default: the host name]")
@click.option("--state-dir", metavar="DIR", help="Where totals are kept.")
@click.option("--interval", metavar="SECONDS", help="Time between readings, 0.1 to 5.  [default: 1]")
@click.option("--web-config", metavar="FILE", help="TLS and basic auth, as for Prometheus's exporters.")
@click.option(
    "--config",
    metavar="FILE",
    # Not asked of access(2), which does not count the capabilities of the service: opening it tells.
    type=click.Path(readable=False, path_type=Path),
    help="[default: /etc/gpuwatch/config.toml]",
)
def agent(config: Path | None, **flags: str | None) -> None:
    """Watch this node's GPUs: sample, account, and serve /metrics, /api/v1/status and /healthz."""
    from gpuwatch.agent.config import load  # noqa: PLC0415  only this command needs the server and the driver
    from gpuwatch.agent.daemon import Agent  # noqa: PLC0415
    from gpuwatch.agent.machine import operated_machine  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    given = {name: text for name, text in flags.items() if text is not None}
    settings = load(flags=given, environment=os.environ, path=config).settings
    Agent(settings, operated_machine(settings)).run()
