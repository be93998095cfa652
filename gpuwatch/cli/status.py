"""`gpuwatch status`: who is on what, on this node."""

from __future__ import annotations

import base64
import json
import logging
import ssl
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

import click

from gpuwatch.attribute.text import clean
from gpuwatch.errors import GpuwatchError, UsageError
from gpuwatch.export.address import parse_address

_TIMEOUT_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_LONGEST_BYTES = 2**24
_GIB = 2**30


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The whole document, as in docs/status.schema.json.")
@click.option(
    "--listen", metavar="HOST:PORT", default="127.0.0.1:9469", show_default=True,
    help="The agent's address; https://HOST:PORT where it serves TLS.",
)  # fmt: skip
@click.option("--ca-file", metavar="FILE", type=click.Path(path_type=Path), help="Whose certificates to trust, in PEM.")
@click.option("--user", metavar="NAME", help="Where the agent asks for a password: whose it is,")
@click.option("--password-file", metavar="FILE", type=click.Path(path_type=Path), help="and the file that it is in.")
def status(as_json: bool, listen: str, ca_file: Path | None, user: str | None, password_file: Path | None) -> None:
    """Show who is on which GPU now. Works without an agent too, then without history."""
    logging.basicConfig(level=logging.CRITICAL)  # what went wrong stands in the document
    document = fetch(listen, ca_file=ca_file, user=user, password_file=password_file) or look()
    click.echo(json.dumps(document, indent=2) if as_json else table(document))


def fetch(
    listen: str, *, ca_file: Path | None = None, user: str | None = None, password_file: Path | None = None
) -> dict[str, Any] | None:
    """The agent's document; None where no agent listens there. Raises GpuwatchError that says what is missing."""
    secure = listen.startswith("https://")
    if ca_file is not None and not secure:  # a password would be sent in clear by who thinks it is not
        raise UsageError(f"--ca-file is for TLS: --listen https://{listen}, or leave it out")
    host, port = parse_address(listen.removeprefix("https://"))
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    request = Request(f"{'https' if secure else 'http'}://{at}/api/v1/status")
    if (credentials := _credentials(user, password_file)) is not None:
        request.add_unredirected_header("Authorization", credentials)
    # Not through a proxy: the agent is on this machine, whatever http_proxy says.
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=_trust(ca_file) if secure else None))
    try:
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            document = json.loads(answer.read(_LONGEST_BYTES))
    except HTTPError as error:
        with error:
            raise GpuwatchError(_refused(listen, error.code, known=credentials is not None)) from error
    except URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            return None
        raise GpuwatchError(_unreachable(listen, error.reason)) from error
    except (OSError, ValueError, HTTPException, RecursionError) as error:
        hint = "" if secure else f" (where it serves TLS: --listen https://{at})"
        raise GpuwatchError(f"what listens at {listen} is no gpuwatch agent: {clean(str(error))}{hint}") from error
    if not isinstance(document, dict) or document.get("agent") is not True:
        raise GpuwatchError(f"what listens at {listen} is no gpuwatch agent: it gives another document")
    return document


def _credentials(user: str | None, password_file: Path | None) -> str | None:
    """The Authorization header; None where there is neither user nor password."""
    if user is None and password_file is None:
        return None
    if user is None or password_file is None or ":" in user:
        raise UsageError("--user NAME, without a colon, and --password-file FILE go together")
    try:
        password = password_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--password-file {password_file} cannot be read: {error}") from error
    return "Basic " + base64.b64encode(f"{user}:{password}".encode("utf-8", "surrogateescape")).decode()


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    """Trust in the system's CAs, or in those of a file."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise UsageError(f"--ca-file {ca_file} must hold certificates in PEM") from error
    except OSError as error:
        raise UsageError(f"--ca-file {ca_file} cannot be read: {error.strerror}") from error


def _refused(listen: str, code: int, *, known: bool) -> str:
    if code != 401:
        return f"the agent at {listen} gave no status: HTTP {code}"
    if known:
        return f"the agent at {listen} does not know this user with this password: see --user and --password-file"
    return f"the agent at {listen} asks for a password: give --user NAME and --password-file FILE"


def _unreachable(listen: str, reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"the certificate at {listen} is not trusted: {reason.verify_message}; name its CA with --ca-file FILE"
    if isinstance(reason, ssl.SSLError):
        return f"no TLS with {listen}: {reason.reason}; where the agent serves plain HTTP, leave out https://"
    return f"the agent at {listen} gave no status: {reason}"


def look() -> dict[str, Any]:
    """A single look at the GPUs, a second long, without an agent and without writing anything."""
    from gpuwatch.agent.cycle import Cycle  # noqa: PLC0415  the driver is needed only without an agent
    from gpuwatch.agent.daemon import load, read_moment  # noqa: PLC0415
    from gpuwatch.agent.machine import this_machine  # noqa: PLC0415
    from gpuwatch.agent.settings import Settings  # noqa: PLC0415
    from gpuwatch.export.status import status_document  # noqa: PLC0415

    now = read_moment()
    settings = Settings(state_directory=Path())  # nothing is kept, and not every user has a home
    cycle = Cycle(settings, this_machine(), None, load(None, now), now)
    try:
        cycle.run(now)
        time.sleep(_LOOK_SECONDS)
        return status_document(cycle.run(read_moment()), agent=False)
    finally:
        cycle.close()


def table(document: dict[str, Any]) -> str:
    """The document for a terminal: a line per GPU and holder, with what the holder's run has held and used so far."""
    title = document["node"] + ("" if document["agent"] else "  (no agent: no history)")
    if document["simulated"]:
        title += "  (simulated: nothing here is real)"
    if not document["gpus"]:
        return f"{title}\n{document['sensors']['gpu']['problem'] or 'no GPUs'}"
    rows = [("GPU", "MODEL", "USE", "MEMORY", "USER", "HELD", "BUSY", "RUN")]
    for gpu in document["gpus"]:
        what = (gpu["gpu"], gpu["model"], _percent(gpu["utilization_ratio"]), _memory(gpu))
        holders = [_holder(run) for run in gpu["runs"] if run["holding"]]
        if holders and gpu["strangers"]:
            holders.append(("-", "", "", _without_owner(gpu["strangers"])))
        nobody = ("-", "", "", _out_of_service(gpu) or gpu["problem"] or _without_owner(gpu["strangers"]))
        rows += [(*what, *whose) for whose in holders or [nobody]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join([title, *lines, *_footnote(document)])


def _out_of_service(gpu: dict[str, Any]) -> str:
    drain = gpu["unavailable"]
    return f"unavailable: {drain['reason'] or 'no reason given'} ({drain['by']})" if drain else ""


def _without_owner(strangers: int | None) -> str:
    if strangers is None:
        return "(the driver does not list processes)"
    return f"({strangers} processes that cannot be read)" if strangers else "free"


def _footnote(document: dict[str, Any]) -> list[str]:
    if not any(gpu["strangers"] for gpu in document["gpus"]):
        return []
    reason = document["strangers_reason"] or "they have just ended, or see `gpuwatch check`"
    return [f"Processes cannot be read: {reason}"]


def _holder(run: dict[str, Any]) -> tuple[str, str, str, str]:
    held, busy = run["held_seconds"], run["busy_seconds"]
    used = busy / held if held and busy is not None else None
    return run["user"], _duration(held), _percent(used), run["run"]


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
