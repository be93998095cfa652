"""`gpuwatch status`: who is on what, on this node."""

from __future__ import annotations

import json
import logging
import time
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import click

from gpuwatch.errors import GpuwatchError

_TIMEOUT_SECONDS = 5.0
_LOOK_SECONDS = 1.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The whole document, as in docs/status.schema.json.")
@click.option("--listen", metavar="HOST:PORT", default="127.0.0.1:9469", show_default=True, help="The agent's address.")
def status(as_json: bool, listen: str) -> None:
    """Show who is on which GPU now. Works without an agent too, then without history."""
    logging.basicConfig(level=logging.CRITICAL)  # what went wrong stands in the document
    document = fetch(listen) or look()
    click.echo(json.dumps(document, indent=2) if as_json else table(document))


def fetch(listen: str) -> dict[str, Any] | None:
    """The agent's document; None where no agent listens there."""
    try:
        with urlopen(f"http://{listen}/api/v1/status", timeout=_TIMEOUT_SECONDS) as answer:
            document: dict[str, Any] = json.load(answer)
    except URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            return None
        raise GpuwatchError(f"the agent at {listen} gave no status: {error}") from error
    except (OSError, ValueError) as error:
        raise GpuwatchError(f"what listens at {listen} is no gpuwatch agent: {error}") from error
    return document


def look() -> dict[str, Any]:
    """A single look at the GPUs, a second long, without an agent and without writing anything."""
    from gpuwatch.agent.cycle import Cycle  # noqa: PLC0415  the driver is needed only without an agent
    from gpuwatch.agent.daemon import load, read_moment  # noqa: PLC0415
    from gpuwatch.agent.settings import Settings  # noqa: PLC0415
    from gpuwatch.export.status import status_document  # noqa: PLC0415

    now = read_moment()
    cycle = Cycle(Settings(), None, load(None, now), now)
    try:
        cycle.run(now)
        time.sleep(_LOOK_SECONDS)
        return status_document(cycle.run(read_moment()), agent=False)
    finally:
        cycle.close()


def table(document: dict[str, Any]) -> str:
    """The document for a terminal: a line per GPU and holder."""
    lines = [f"{document['node']}" + ("" if document["agent"] else "  (no agent: no history)")]
    if not document["gpus"]:
        lines.append(document["sensors"]["gpu"]["problem"] or "no GPUs")
    for gpu in document["gpus"]:
        holders = [run for run in gpu["runs"] if run["holding"]]
        use = "  ?" if gpu["utilization_ratio"] is None else f"{gpu['utilization_ratio']:4.0%}"
        head = f"{gpu['gpu']:>3}  {gpu['model'][:28]:<28}  {use}"
        whose = [f"{run['user']}  {run['run']}" for run in holders] or [gpu["problem"] or "free"]
        lines += [f"{head if position == 0 else ' ' * len(head)}  {text}" for position, text in enumerate(whose)]
    return "\n".join(lines)
