"""A listener for tests: the server in a thread, its good and bad clients, and certificates made by openssl."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import NamedTuple

from examples import snapshot
from servers import program

from gpuwatch.export.pages import Pages
from gpuwatch.export.server import Server, bind
from gpuwatch.export.web import Web
from gpuwatch.model import Snapshot

HALF_A_HEADER = b"GET /metrics HTTP/1.1\r\nHost: n7\r\nX-Half: "


class Site:
    """A server in a thread. The test sets the snapshot and the time."""

    def __init__(self, web: Web | None = None, ca_file: Path | None = None) -> None:
        self.snapshot: Snapshot | None = snapshot()
        self.unix = self.snapshot.taken_unix
        self.web = web
        self.client_context = ssl.create_default_context(cafile=ca_file) if ca_file else None
        self.listener = bind("127.0.0.1:0")
        self.port = int(self.listener.getsockname()[1])
        self.server: Server | None = None

    def run(self, ready: threading.Event) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            self.server = Server(Pages(lambda: self.snapshot), lambda: self.unix, web=self.web)
            self.server.ready.set()
            ready.set()
            await self.server.serve(sockets=[self.listener])

        asyncio.run(serve())

    def stop(self) -> None:
        assert self.server is not None
        with suppress(RuntimeError):  # it has ended already
            self.loop.call_soon_threadsafe(self.server.stop.set)

    def connect(self) -> HTTPConnection:
        if self.client_context is None:
            return HTTPConnection("127.0.0.1", self.port, timeout=10)
        return HTTPSConnection("127.0.0.1", self.port, timeout=10, context=self.client_context)

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
        """The answer on a connection of its own, and its body as sent."""
        connection = self.connect()
        answer = ask(connection, path, method, **headers)
        connection.close()
        return answer

    def open(self, *, tcp: bool = False) -> socket.socket:
        """A client that has said nothing yet; with `tcp` not even that it speaks TLS."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        if self.client_context is None or tcp:
            return client
        return self.client_context.wrap_socket(client, server_hostname="127.0.0.1")

    @contextmanager
    def strangers(self, count: int, *, text: bytes = b"", tcp: bool = False) -> Iterator[list[socket.socket]]:
        """Clients that send a text and are silent from then on."""
        with ExitStack() as stack:
            clients = []
            for _ in range(count):
                clients.append(stack.enter_context(self.open(tcp=tcp)))
                clients[-1].sendall(text)
            yield clients


@contextmanager
def serving(web: Web | None = None, ca_file: Path | None = None) -> Iterator[Site]:
    """A site that serves."""
    site, ready = Site(web, ca_file), threading.Event()
    thread = threading.Thread(target=site.run, args=(ready,))
    thread.start()
    ready.wait(10)
    try:
        yield site
    finally:
        site.stop()
        thread.join(10)
        site.listener.close()
        assert not thread.is_alive()


def ask(connection: HTTPConnection, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
    """The answer, and its body as sent."""
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer, answer.read()


def is_closed(client: socket.socket) -> bool:
    """Whether the server has ended the connection. What it said before is lost."""
    if not select.select([client], [], [], 0)[0]:
        return False
    try:
        return client.recv(65536) == b""
    except (ConnectionResetError, ssl.SSLEOFError):
        return True


def read_all(client: socket.socket) -> bytes:
    """All that the server says until it ends the connection."""
    said = b""
    try:
        while chunk := client.recv(65536):
            said += chunk
    except (ConnectionResetError, ssl.SSLEOFError):
        pass  # an end as well
    return said


def half_a_hello() -> bytes:
    """The first half of what a TLS client says first."""
    out = ssl.MemoryBIO()
    try:
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="n7").do_handshake()
    except ssl.SSLWantReadError:
        hello = out.read()
    return hello[: len(hello) // 2]


class Pair(NamedTuple):
    """A certificate and its private key."""

    cert: Path
    key: Path


def make_certificate(folder: Path, name: str, *, sans: str = "IP:127.0.0.1", signed_by: Pair | None = None) -> Pair:
    """A new certificate, made by openssl: of itself, so that it is its own CA, or signed by another."""
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    command = [
        program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "30", "-subj", f"/CN={name}", "-addext", f"subjectAltName={sans}", "-keyout", str(pair.key),
        "-out", str(pair.cert),
    ]  # fmt: skip
    if signed_by is not None:
        command += ["-CA", str(signed_by.cert), "-CAkey", str(signed_by.key), "-addext", "basicConstraints=CA:FALSE"]
    subprocess.run(command, check=True, capture_output=True)
    return pair


def write_web(folder: Path, text: str) -> Path:
    """A web configuration."""
    path = folder / "web.yml"
    path.write_text(text, encoding="utf-8")
    return path
