"""`gpuwatch demo`: the agent on a node that is not there."""

from __future__ import annotations

import logging

import click


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Where to serve.  [default: 127.0.0.1:9469]")
@click.option("--node", metavar="NAME", help="The node is called NAME (SIMULATED).  [default: SIMULATED]")
@click.option("--state-dir", metavar="DIR", help="Keep the simulated totals in DIR.  [default: they are thrown away]")
@click.option("--interval", metavar="SECONDS", help="Time between readings, 0.1 to 5.  [default: 1]")
def demo(**flags: str | None) -> None:
    """Show the agent on a simulated node of 8 GPUs, with a week of history: no GPU and no driver is needed."""
    from gpuwatch.demo.show import show  # noqa: PLC0415  nothing else may import a node that is not there

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    show({name: text for name, text in flags.items() if text is not None})
