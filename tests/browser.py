"""A headless Chromium, told through a pipe what to look at. It reaches nothing but the loopback.

What is sent and comes back is the DevTools protocol: https://chromedevtools.github.io/devtools-protocol/.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from servers import program

_FLAGS: Final = (
    "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
_LAUNCH: Final = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
"""Chromium takes its orders on descriptor 3 and answers on 4."""
_FREE_DESCRIPTOR: Final = 10


class Tab:
    """One page in the browser."""

    def __init__(self, orders: int, answers: int) -> None:
        self._orders = orders
        self._answers = os.fdopen(answers, "rb", closefd=False)
        self._number = 0
        self._session = ""
        self._rest = b""
        self.events: list[tuple[str, dict[str, Any]]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The browser's answer to an order."""
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            order["sessionId"] = self._session
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        while (message := self._read()).get("id") != self._number:
            self.events.append((message.get("method", ""), message.get("params", {})))
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    def open(self, url: str, *, width: int = 1280, dark: bool = False) -> None:
        """Go there, in a window of so many pixels, and wait for the page to be loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(name == "Page.loadEventFired" for name, _ in self.events):
            message = self._read()
            self.events.append((message.get("method", ""), message.get("params", {})))

    def run(self, script: str) -> Any:
        """What a script in the page comes to, or its promise."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def shoot(self, *, highest: int) -> bytes:
        """The page as PNG, down to so many pixels."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(highest, size["height"]), "scale": 1}
        return b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"])

    @property
    def requests(self) -> list[str]:
        """The addresses that were asked for since the page was opened."""
        return [what["request"]["url"] for name, what in self.events if name == "Network.requestWillBeSent"]

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """Exceptions, and what the browser refused."""
        return [what for name, what in self.events if name in ("Runtime.exceptionThrown", "Log.entryAdded")]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._answers.fileno(), 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message


@contextmanager
def browsing(folder: Path) -> Iterator[Tab]:
    """A browser with one tab and a profile of its own."""
    theirs, orders = os.pipe()
    answers, said = os.pipe()
    given = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, _FREE_DESCRIPTOR) for descriptor in (theirs, said)]
    flags = [*_FLAGS, f"--user-data-dir={folder / 'profile'}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with (folder / "browser.log").open("wb") as log:
        browser = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAUNCH, *map(str, given), program("chromium"), *flags],
            pass_fds=given, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    for descriptor in (theirs, said, *given):
        os.close(descriptor)
    try:
        yield Tab(orders, answers)
    finally:
        browser.terminate()
        try:
            browser.wait(10)
        finally:
            browser.kill()
            os.close(orders)
            os.close(answers)
