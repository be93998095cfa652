"""A real terminal for tests, by tmux; and a stand-in agent that says of a node of eight GPUs what a test wants."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from examples import reading
from examples import snapshot as example
from rig import wait_until
from servers import program

from gpuwatch.export.status import status_document
from gpuwatch.model import DeviceUse, DeviceView, Drain, GpuInfo, Identity, Owner, Piece, Run, RunTotal, Snapshot, Use
from gpuwatch.model.judgement import IDLE, OK, SNOOZED, STUCK, Judged, Judgement
from gpuwatch.terminal.document import parse_node
from gpuwatch.terminal.page import Scene, page
from gpuwatch.terminal.painting import painted
from gpuwatch.terminal.rows import rows_of

TAKEN = 1_790_003_600.5
GIB = 2**30
ANN = Owner("ann", "vision", "wandb:xu3ab252")
BEN = Owner("ben", "", "adhoc:notebook.py-k3f9z2.3mv@n7")
CAT = Owner("cat", "nlp", "slurm:4711")
DAN = Owner("dan", "robots", "docker:sim@n7")
EVE = Owner("eve", "", "adhoc:\u2603\u2603 \u6c34\u6c34-k3f9z2.9@n7")
_SAID = {
    OK: "93% busy in the last 60 min",
    IDLE: "no minute at 5% or more for 3.2 h",
    STUCK: "100% busy at 92 W, as if idle, for 25 min",
    SNOOZED: "no minute at 5% or more for 50 min; meant for 2.0 h more, says dan: waiting for labels",
}
HELD = (
    (0, ANN, 0.94, 61, 612, 7 * 3600, OK, 0),
    (1, ANN, 0.91, 62, 598, 7 * 3600, OK, 0),
    (2, BEN, 0.0, 38, 74, 5 * 3600, IDLE, 3.2 * 3600),
    (3, CAT, 1.0, 44, 92, 26 * 3600, STUCK, 1500),
    (4, DAN, 0.0, 12, 71, 3600, SNOOZED, 3000),
    (4, EVE, 0.0, 3, 71, 1800, OK, 240),
)
"""GPU, owner, use, GiB, watts, seconds held, verdict, for how long."""


def crowd() -> Snapshot:
    """Eight H100: two at work, one idle, one stuck, one shared, one free, one lost, one in service."""
    runs = {owner: Run(owner, Identity(1, 1), TAKEN - 9000, "adhoc") for _, owner, *_ in HELD}
    runs[ANN] = replace(runs[ANN], name="resnet-lr3")
    totals, holding, judgements = {}, {}, {}
    for gpu, owner, use, gib, _, held, verdict, since in HELD:
        key = (f"GPU-{gpu}000", owner)
        totals[key] = RunTotal(Use(held, held * (use or 0.02), 1.0), gib * GIB)
        holding[key] = gib * GIB
        idle = 0.0 if verdict == STUCK else float(since)
        judgements[key] = Judgement(verdict, TAKEN - since, idle, since, use, 90.0, 1.0, _SAID[verdict])
    return replace(
        example(),
        taken_unix=TAKEN,
        devices=tuple(map(_device, range(8))),
        totals=totals,
        holding=holding,
        runs=runs,
        judged=Judged(judgements),
    )


def _device(gpu: int) -> DeviceView:
    info = GpuInfo(f"GPU-{gpu}000", gpu, "NVIDIA H100 80GB HBM3", f"0000:{gpu}")
    if gpu == 6:
        return DeviceView(info, DeviceUse(), None, problem="GPU is lost")
    held = [row for row in HELD if row[0] == gpu]
    use, watts = (held[0][2], float(held[0][4])) if held else (0.0, 70.0)
    read = reading(info)
    used = sum(row[3] for row in held) * GIB
    condition = read.condition._replace(memory_used_bytes=used, memory_total_bytes=80 * GIB, temperature_celsius=40.0)
    read = replace(read, pieces=(Piece(5000.0, use),), power_watts=watts, condition=condition)
    drain = Drain(TAKEN - 9000, "new fan", "root") if gpu == 7 else None
    return DeviceView(info, DeviceUse(), read, drain=drain)


def shown(document: Mapping[str, Any]) -> str:
    """A status document as `gpuwatch status` shows it at the moment that it was taken, with nothing cut."""
    scene = Scene((parse_node(document, now_unix=document["taken_unix"]),))
    return painted(page(scene, rows_of(scene.nodes), None), colour=False)


class Stub:
    """What says it is an agent, and serves the document of a snapshot as if it were taken now."""

    def __init__(self) -> None:
        self.snapshot = crowd()
        self.broken = False
        self.without: tuple[str, ...] = ()
        """Keys that its documents have not, as those of an older agent."""
        self.port = 0

    @property
    def at(self) -> str:
        """Its address."""
        return f"127.0.0.1:{self.port}"

    def document(self) -> Mapping[str, Any]:
        """What it serves."""
        document = status_document(replace(self.snapshot, taken_unix=time.time()))
        return {key: value for key, value in document.items() if key not in self.without}


@contextmanager
def stub_agent() -> Iterator[Stub]:
    """A running one."""
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if stub.broken else 200)
            self.end_headers()
            self.wfile.write(json.dumps(stub.document()).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        stub.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            thread.join()


class Terminal:
    """A real terminal in which a shell runs."""

    def __init__(self, folder: Path, columns: int, lines: int, variables: Mapping[str, str]) -> None:
        self._tmux = [program("tmux"), "-u", "-f", "/dev/null", "-S", str(folder / "tmux")]
        environment = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
        self._tell("new-session", "-d", "-x", str(columns), "-y", str(lines), *environment, "env PS1='ready> ' sh -i")
        self.wait_for("ready>")

    def type(self, text: str) -> None:
        """Type a line."""
        self._tell("send-keys", "-l", text)
        self._tell("send-keys", "Enter")

    def press(self, *keys: str) -> None:
        """Press keys, as tmux names them."""
        self._tell("send-keys", *keys)

    def resize(self, columns: int, lines: int) -> None:
        """Make the window another size."""
        self._tell("resize-window", "-x", str(columns), "-y", str(lines))

    def lines(self, *, escapes: bool = False) -> list[str]:
        """What is on the screen."""
        return self._tell("capture-pane", "-p", *(["-e"] if escapes else [])).split("\n")

    def ask(self, form: str) -> str:
        """What tmux knows of the pane, by one of its formats."""
        return self._tell("display-message", "-p", form).strip()

    def wait_for(self, text: str, *, seconds: float = 20.0) -> list[str]:
        """The screen as soon as the text is on it."""
        seen: list[str] = []

        def there() -> bool:
            seen[:] = self.lines()
            return any(text in line for line in seen)

        try:
            wait_until(there, seconds=seconds, what=text)
        except TimeoutError as error:
            raise AssertionError("\n".join([str(error), *seen])) from error
        return seen

    def close(self) -> None:
        """End it, and all in it."""
        self._tell("kill-server")

    def _tell(self, *arguments: str) -> str:
        done = subprocess.run([*self._tmux, *arguments], capture_output=True, encoding="utf-8", timeout=20, check=True)
        return done.stdout


@contextmanager
def terminal(
    folder: Path, *, columns: int = 80, lines: int = 24, variables: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """A terminal of that size."""
    opened = Terminal(folder, columns, lines, {"LC_ALL": "C.UTF-8", **(variables or {})})
    try:
        yield opened
    finally:
        opened.close()
