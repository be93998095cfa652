"""`gpuwatch status`: who is on what, on this node."""

from __future__ import annotations

import json
import logging
import time
from http.client import HTTPException
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import click

from gpuwatch.errors import GpuwatchError

_TIMEOUT_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_GIB = 2**30


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
        # Not through a proxy: the agent is on this machine, whatever http_proxy says.
        with build_opener(ProxyHandler({})).open(f"http://{listen}/api/v1/status", timeout=_TIMEOUT_SECONDS) as answer:
            document: dict[str, Any] = json.load(answer)
    except URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            return None
        raise GpuwatchError(f"the agent at {listen} gave no status: {error}") from error
    except (OSError, ValueError, HTTPException) as error:
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
    """The document for a terminal: a line per GPU and holder, with what the holder's run has held and used so far."""
    title = document["node"] + ("" if document["agent"] else "  (no agent: no history)")
    if not document["gpus"]:
        return f"{title}\n{document['sensors']['gpu']['problem'] or 'no GPUs'}"
    rows = [("GPU", "MODEL", "USE", "MEMORY", "USER", "HELD", "BUSY", "RUN")]
    for gpu in document["gpus"]:
        what = (str(gpu["gpu"]), gpu["model"], _percent(gpu["utilization_ratio"]), _memory(gpu))
        holders = [_holder(run) for run in gpu["runs"] if run["holding"]]
        nobody = ("-", "", "", gpu["problem"] or _without_owner(gpu["strangers"]))
        rows += [(*what, *whose) for whose in holders or [nobody]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join([title, *lines])


def _without_owner(strangers: int | None) -> str:
    if strangers is None:
        return "(the driver does not list processes)"
    return f"({strangers} processes that cannot be read)" if strangers else "free"


def _holder(run: dict[str, Any]) -> tuple[str, str, str, str]:
    held, busy = run["held_seconds"], run["busy_seconds"]
    return run["user"], _duration(held), _percent(busy / held if held else None), run["run"]


def _memory(gpu: dict[str, Any]) -> str:
    used, capacity = gpu["memory_used_bytes"], gpu["memory_total_bytes"]
    return "?" if used is None or capacity is None else f"{used / _GIB:.0f} of {capacity / _GIB:.0f} GiB"


def _percent(ratio: float | None) -> str:
    return "?" if ratio is None else f"{ratio:.0%}"


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
