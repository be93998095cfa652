"""The query API that Prometheus, Thanos, Mimir and VictoriaMetrics have. What is asked is written down."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, NoReturn, TypeVar
from urllib.parse import urlencode

from gpuwatch.errors import PrometheusError, QueryTooHeavy
from gpuwatch.model.history import Question
from gpuwatch.report.prometheus.connection import Answer, Connection, plain
from gpuwatch.report.server import Server

Labels = Mapping[str, str]
_Series = TypeVar("_Series")
_TOO_HEAVY: Final = (422, 503)
"""What is too much for it, and what took too long."""
_HARMLESS: Final = "PromQL info:"
"""Of newer servers, on how metrics are called: the figures are whole."""


class Sample(NamedTuple):
    """A value of a series at the time that was asked for."""

    labels: Labels
    value: float


class Track(NamedTuple):
    """A series over time: (unix, value), ascending."""

    labels: Labels
    points: tuple[tuple[float, float], ...]


class Client:
    """A server that is asked. Raises PrometheusError in words from any question, and UsageError for its settings."""

    def __init__(self, server: Server) -> None:
        self._connection = Connection(server)
        self._known = bool(server.user or server.token_file)
        self.asked: list[Question] = []
        self.warnings: list[str] = []
        """What the server said of answers that are not whole, each once."""

    @property
    def url(self) -> str:
        """Where it is."""
        return self._connection.url

    def query(self, expression: str, *, at: float, purpose: str) -> list[Sample]:
        """An instant vector, without what is no number."""
        where = f"# at {_utc(at)} (time={at:.3f})"
        data = self._ask("query", {"query": expression, "time": f"{at:.3f}"}, f"{where}\n{expression}", purpose)
        samples = _parsed(data, "vector", lambda item: Sample(dict(item["metric"]), float(item["value"][1])))
        return [sample for sample in samples if not math.isnan(sample.value)]

    def query_range(self, expression: str, *, start: float, end: float, step: float, purpose: str) -> list[Track]:
        """A range vector: from `start`, each `step` seconds, up to `end`."""
        where = f"# from {_utc(start)} to {_utc(end)} (start={start:.3f}, end={end:.3f}, step={step:.3f})"
        form = {"query": expression, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        data = self._ask("query_range", form, f"{where}\n{expression}", purpose)
        return _parsed(data, "matrix", _track)

    def series(self, matches: Sequence[str], *, start: float, end: float, purpose: str) -> list[Labels]:
        """The labels of what was there between `start` and `end`."""
        form = {"match[]": matches, "start": f"{start:.3f}", "end": f"{end:.3f}"}
        where = f"# series from {_utc(start)} to {_utc(end)}"
        data = self._ask("series", form, "\n".join([where, *matches]), purpose)
        if not isinstance(data, list):
            raise PrometheusError(f"{self.url} lists no series: {_NOT_THE_API}")
        return data

    def _ask(self, call: str, form: Mapping[str, Sequence[str]], text: str, purpose: str) -> Any:
        began = time.perf_counter()
        # A name that is no Unicode is in no server: what stands in its place matches nothing.
        body = urlencode(form, doseq=True, encoding="utf-8", errors="replace").encode()
        answer = self._connection.post(f"/api/v1/{call}", body)
        self.asked.append(Question(purpose, text, time.perf_counter() - began))
        document = _document(answer.body)
        if answer.status != 200 or document.get("status") != "success":
            self._refuse(answer, document)
        for warning in document.get("warnings") or ():
            words = plain(str(warning))
            if not words.startswith(_HARMLESS) and words not in self.warnings:
                self.warnings.append(words)
        return document.get("data")

    def _refuse(self, answer: Answer, document: Mapping[str, Any]) -> NoReturn:
        """Say what is wrong with an answer that has no data."""
        status, said = answer.status, _words(document)
        if status in (401, 403):
            raise PrometheusError(f"{self.url} {_who(known=self._known)}{_because(said)}")
        if 300 <= status < 400:
            raise PrometheusError(
                f"{self.url} sends on to {plain(answer.location)}: prometheus.url must be that itself"
            )
        if status in _TOO_HEAVY and said:
            raise QueryTooHeavy(f"{self.url} cannot answer: {said}")
        if said:
            raise PrometheusError(f"{self.url} refuses a query: {said}")
        raise PrometheusError(f"{self.url} gives HTTP {status} and no answer of Prometheus: {_NOT_THE_API}")


_NOT_THE_API: Final = "prometheus.url must be the address under which /api/v1/query is"


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _parsed(data: Any, kind: str, parse: Callable[[Any], _Series]) -> list[_Series]:
    """The series in it. Raises PrometheusError where they are not what the API promises."""
    try:
        if data["resultType"] != kind:
            raise ValueError
        return [parse(item) for item in data["result"]]
    except (ValueError, TypeError, KeyError, IndexError):
        raise PrometheusError(f"the server's answer is no {kind}: {_NOT_THE_API}") from None


def _track(item: Any) -> Track:
    return Track(dict(item["metric"]), tuple([(float(unix), float(value)) for unix, value in item["values"]]))


def _words(document: Mapping[str, Any]) -> str:
    kind, error = document.get("errorType"), document.get("error")
    return plain(": ".join(str(part) for part in (kind, error) if part))


def _who(*, known: bool) -> str:
    if known:
        return "does not let us in with what is in prometheus.password_file or prometheus.token_file"
    return "asks who we are: set prometheus.user and prometheus.password_file, or prometheus.token_file"


def _because(said: str) -> str:
    return f" ({said})" if said else ""


def _utc(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
