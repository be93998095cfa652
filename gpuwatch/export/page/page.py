"""The page as it is sent: at first as HTML that needs no script, from then on as JSON for its own script.

Style and script stand in the page, and are allowed by their hashes: nothing else is, from here or elsewhere.
"""

from __future__ import annotations

import json
from base64 import b64encode
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

from gpuwatch.export.page.document import document
from gpuwatch.export.page.tree import write
from gpuwatch.model import Snapshot

_FOLDER = Path(__file__).parent


class _Shell(NamedTuple):
    """What is around the tree, with its style and script in it."""

    html: Template
    policy: str
    """The Content-Security-Policy."""


def render_html(snapshot: Snapshot, *, names: str, is_stale: bool) -> bytes:
    """The first look."""
    main = write(document(snapshot, names=names, is_stale=is_stale))
    title = f"{'SIMULATED: ' if snapshot.simulated else ''}gpuwatch on {snapshot.node}"
    return _shell().html.substitute(title=escape(title), main=main).encode()


def render_json(snapshot: Snapshot, *, names: str, is_stale: bool) -> bytes:
    """What the script fetches: the same tree."""
    tree = document(snapshot, names=names, is_stale=is_stale)
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()


def content_security_policy() -> str:
    """What the page may do: have its own style and script, and fetch from where it comes from."""
    return _shell().policy


@cache
def _shell() -> _Shell:
    style, script, html = (_read(name) for name in ("page.css", "page.js", "page.html"))
    filled = Template(html).safe_substitute(style=_escaped(style), script=_escaped(script))
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return _Shell(Template(filled), policy)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _escaped(text: str) -> str:
    """As it stands in a template of which other parts are filled later."""
    return text.replace("$", "$$")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
