"""The Prometheus server: does it answer, and does it have this node?"""

from __future__ import annotations

import json
from typing import NamedTuple
from urllib.parse import quote

from gpuwatch.check.fetch import Answer, fetch
from gpuwatch.check.finding import Finding, ok, warn

_LOST = "history over all nodes"


class PrometheusFacts(NamedTuple):
    """What came of asking for this node's `gpuwatch_build_info`. Without a `url` nothing was asked."""

    url: str
    node: str
    answer: Answer = Answer(0)


def read_prometheus(url: str, node: str) -> PrometheusFacts:
    """Ask the server at `url`, if there is one."""
    if not url:
        return PrometheusFacts(url, node)
    expression = f"gpuwatch_build_info{{node={json.dumps(node, ensure_ascii=False)}}}"
    return PrometheusFacts(url, node, fetch(f"{url}/api/v1/query?query={quote(expression)}"))


def judge_prometheus(facts: PrometheusFacts) -> list[Finding]:
    """One finding. That there is no server is none's fault: it is not configured."""
    if not facts.url:
        return [ok("prometheus", "not configured: set prometheus.url to have it checked")]
    status, _, problem = facts.answer
    if status != 200:
        mend = f"curl {facts.url}/-/ready; then prometheus.url, or the way there"
        return [warn("prometheus", f"{facts.url}: {problem or f'HTTP status {status}'}", lost=_LOST, mend=mend)]
    series = _series(facts.answer.body)
    if series is None:
        mend = "prometheus.url is the address under which /api/v1/query is"
        return [warn("prometheus", f"{facts.url} gives no answer of Prometheus", lost=_LOST, mend=mend)]
    if not series:
        found = f"{facts.url} answers, and has no gpuwatch_build_info of node {facts.node}"
        mend = "add this node to scrape_configs (README, Start); --listen must be reachable from there"
        return [warn("prometheus", found, lost=f"{_LOST}: this node is not in it", mend=mend)]
    return [ok("prometheus", f"{facts.url} has this node")]


def _series(body: bytes) -> int | None:
    """How many series the answer to a query has; None where it is none."""
    try:
        document = json.loads(body)
        return len(document["data"]["result"]) if document["status"] == "success" else None
    except (ValueError, RecursionError, TypeError, KeyError):
        return None
