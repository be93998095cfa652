"""The web configuration of Prometheus's exporters: one YAML file about TLS, passwords and headers, read and checked.

Its form: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. Loaded only where such a
file is given. What it asks for is done or refused, never ignored.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from gpuwatch.errors import UsageError
from gpuwatch.export.auth import HIGHEST_COST, LOWEST_COST, BasicAuth, is_hash
from gpuwatch.export.file import read_file
from gpuwatch.export.section import Section
from gpuwatch.export.tls import CIPHERS, CURVES, TLS_13_CIPHERS, VERSIONS, Certificates, TlsSettings

_LONGEST_BYTES = 2**20
_SECTIONS = ("tls_server_config", "http_server_config", "basic_auth_users")
_NO_RATE_LIMIT = "leave it out: a limit on all requests would cost scrapes (docs/listener.md has the bounds there are)"
_TLS_KEYS = (
    "cert_file", "key_file", "client_auth_type", "client_ca_file", "client_allowed_sans", "min_version", "max_version",
    "cipher_suites", "prefer_server_cipher_suites", "curve_preferences",
)  # fmt: skip
_INLINE = {key: f"put it into a file, and name that as {key}_file" for key in ("cert", "key", "client_ca")}
_NO_CERTIFICATE, _VERIFY_GIVEN, _VERIFY = "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"
_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Content-Security-Policy": (),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": (),
    "Strict-Transport-Security": (),
}
"""What can be set, and to what, where it is not free."""


@dataclass(frozen=True, slots=True)
class Web:
    """What the listener does beyond plain HTTP."""

    tls: Certificates | None
    auth: BasicAuth | None
    headers: Mapping[str, str]
    """By name in lower case; an empty one is not sent."""


def read_web(path: Path) -> Web:
    """The web configuration at `path`, with its certificates loaded. Raises UsageError that names file, key, value."""
    whole = Section(path, "", _parse_yaml(path, _read(path)), known=_SECTIONS, refused={"rate_limit": _NO_RATE_LIMIT})
    tls = parse_tls(path, whole.get("tls_server_config"))
    hashes = parse_users(path, whole.get("basic_auth_users"))
    return Web(
        tls=Certificates(tls) if tls else None,
        auth=BasicAuth(hashes) if hashes else None,
        headers=parse_headers(path, whole.get("http_server_config")),
    )


def _read(path: Path) -> str:
    try:
        content = read_file(path, _LONGEST_BYTES + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the web configuration {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read the web configuration {path}: it is not in UTF-8") from error
    if len(content) > _LONGEST_BYTES:
        raise UsageError(f"cannot read the web configuration {path}: it is longer than 1 MiB")
    return text


def _parse_yaml(path: Path, text: str) -> object:
    """The YAML document in the text of the file at `path`. Raises UsageError that quotes nothing of it."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        # The parser's own words quote the file, and with it hashes.
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        wrong = "has a key twice" if isinstance(error, _KeyTwice) else "is no valid YAML"
        raise UsageError(f"{path} {wrong}{place}") from None
    except (ValueError, LookupError, AttributeError, RecursionError):  # PyYAML's own, for 2026-13-45 or !!int ""
        raise UsageError(f"{path} is no valid YAML: a value does not fit its type, or lists have no end") from None


class _KeyTwice(yaml.constructor.ConstructorError):
    """A key is given twice."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice: PyYAML takes the last, and an empty one would lift the passwords."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping. Raises YAMLError."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _KeyTwice(problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse_tls(path: Path, table: object) -> TlsSettings | None:
    """The section `tls_server_config` of the file at `path`; None where it sets nothing. Raises UsageError."""
    section = Section(path, "tls_server_config", table, known=_TLS_KEYS, refused=_INLINE)
    cert_file, key_file = section.file("cert_file"), section.file("key_file")
    if not table:
        return None
    if cert_file is None or key_file is None:
        raise section.wrong("cert_file" if cert_file is None else "key_file", "the path of a PEM file")
    minimum = section.choice("min_version", VERSIONS, default="TLS12")
    maximum = section.choice("max_version", VERSIONS, default="TLS13")
    if VERSIONS.index(minimum) > VERSIONS.index(maximum):
        raise section.wrong("max_version", f"no lower than min_version, {minimum}")
    required, client_ca_file, allowed_sans = _client_certificates(section)
    return TlsSettings(
        cert_file=cert_file,
        key_file=key_file,
        client_ca_file=client_ca_file,
        client_required=required,
        client_allowed_sans=allowed_sans,
        minimum=minimum,
        maximum=maximum,
        ciphers=_ciphers(section, minimum),
        prefer_own_ciphers=section.flag("prefer_server_cipher_suites", default=True),
        curve=_curve(section),
    )


def _client_certificates(section: Section) -> tuple[bool, Path | None, frozenset[str]]:
    """Whether a client must have a certificate, of whom, and with which names."""
    # Python's TLS verifies each certificate that it asks for: the three types that do not cannot be had.
    kind = section.choice("client_auth_type", (_NO_CERTIFICATE, _VERIFY_GIVEN, _VERIFY), default=_NO_CERTIFICATE)
    client_ca_file, allowed_sans = section.file("client_ca_file"), section.texts("client_allowed_sans")
    if kind == _NO_CERTIFICATE and client_ca_file is not None:
        raise section.wrong("client_auth_type", f"{_VERIFY} where there is a client_ca_file")
    if kind != _NO_CERTIFICATE and client_ca_file is None:
        raise section.wrong("client_ca_file", f"the path of a PEM file where client_auth_type is {kind}")
    if kind != _VERIFY and allowed_sans:
        raise section.wrong("client_auth_type", f"{_VERIFY} where there are client_allowed_sans")
    return kind == _VERIFY, client_ca_file, frozenset(allowed_sans)


def _ciphers(section: Section, minimum: str) -> tuple[str, ...]:
    """OpenSSL's names of the suites up to TLS 1.2. Those of TLS 1.3 are always all there, as with Go's exporters."""
    suites = section.texts("cipher_suites")
    if not set(suites) <= {*CIPHERS, *TLS_13_CIPHERS}:
        raise section.wrong("cipher_suites", f"of {', '.join([*CIPHERS, *TLS_13_CIPHERS])}")
    ciphers = tuple(CIPHERS[suite] for suite in suites if suite in CIPHERS)
    if suites and not ciphers and minimum != "TLS13":
        raise section.wrong("cipher_suites", "with one for TLS 1.2, or min_version must be TLS13")
    return ciphers


def _curve(section: Section) -> str:
    curves = section.texts("curve_preferences")
    if len(curves) > 1 or not set(curves) <= set(CURVES):
        raise section.wrong("curve_preferences", f"a list of one of {', '.join(CURVES)}: Python can set no more")
    return CURVES[curves[0]] if curves else ""


def parse_users(path: Path, table: object) -> dict[str, bytes]:
    """bcrypt hashes by user of the file at `path`. Raises UsageError that says neither a name nor a hash."""
    if not isinstance(table, dict | None):
        raise UsageError(f"{path}: basic_auth_users must be a mapping of users to bcrypt hashes")
    for number, (user, value) in enumerate((table or {}).items(), 1):
        if not isinstance(user, str) or not user or ":" in user:
            raise UsageError(f"{path}: basic_auth_users: name {number} must be a string without a colon, in quotes")
        if not isinstance(value, str) or not is_hash(value):
            raise UsageError(
                f"{path}: basic_auth_users: the value of name {number} is not shown here, and must be a bcrypt hash of "
                f"a cost from {LOWEST_COST} to {HIGHEST_COST}, in quotes (docs/listener.md says how to make one)"
            )
    return {user: value.encode() for user, value in (table or {}).items()}


def parse_headers(path: Path, table: object) -> dict[str, str]:
    """The headers of the section `http_server_config` of the file at `path`. Raises UsageError."""
    http = Section(path, "http_server_config", table, known=("http2", "headers"), refused={})
    # HTTP/1.1 is what is spoken: with http2 true a client may ask for more, and agrees on less, as always.
    http.flag("http2", default=True)
    section = Section(path, "http_server_config.headers", http.get("headers"), known=tuple(_HEADERS), refused={})
    headers = {}
    for name, choices in _HEADERS.items():
        if section.get(name) is None:
            continue
        value = section.choice(name, choices, default="") if choices else section.text(name)
        if not (value.isascii() and value.isprintable()):
            raise section.wrong(name, "one line of ASCII")
        headers[name.lower()] = value
    return headers
