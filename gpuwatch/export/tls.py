"""TLS of the listener: settings become contexts, anew when a certificate is renewed on disk. Knows no connection."""

from __future__ import annotations

import ipaddress
import logging
import ssl
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gpuwatch.errors import UsageError
from gpuwatch.export.file import read_file

log = logging.getLogger(__name__)

CHECK_SECONDS = 10.0
"""Time between two looks at the files."""
VERSIONS = ("TLS12", "TLS13")
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
CIPHERS: Final[Mapping[str, str]] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
}
"""Go's names of the suites up to TLS 1.2, and OpenSSL's."""
TLS_13_CIPHERS = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1"}
"""Go's names of the curves that Python can set, and OpenSSL's."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What TLS is to be. Empty `ciphers` and `curve` are OpenSSL's own choice."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    """Whose certificates clients may show; None asks for none."""
    client_required: bool = False
    client_allowed_sans: frozenset[str] = frozenset()
    """Names of which a client's certificate must have one; empty allows all."""
    minimum: str = "TLS12"
    maximum: str = "TLS13"
    ciphers: tuple[str, ...] = ()
    prefer_own_ciphers: bool = True
    curve: str = ""


class Certificates:
    """The context for a new connection, which follows the files. Used from one thread."""

    def __init__(self, settings: TlsSettings) -> None:
        """Load them. Raises UsageError where that cannot be done."""
        self._settings = settings
        self._stamps = _stamps(settings)
        self._context = load_context(settings)
        self._checked_at = float("-inf")
        if stat.S_IMODE(settings.key_file.stat().st_mode) & stat.S_IROTH:
            log.warning("%s holds the private key, and everybody can read it: chmod o-r", settings.key_file)

    def context(self, now: float) -> ssl.SSLContext:
        """That of the files; at a monotonic `now` in seconds. Files that cannot be loaded change nothing."""
        if now - self._checked_at >= CHECK_SECONDS:
            self._checked_at = now
            self._follow()
        return self._context

    def admits(self, peer: Mapping[str, Any] | None) -> bool:
        """Whether a client with this certificate, as ssl gives it once it is verified, may go on."""
        allowed = self._settings.client_allowed_sans
        return not allowed or not allowed.isdisjoint(names_of(peer or {}))

    def _follow(self) -> None:
        stamps = _stamps(self._settings)
        if stamps == self._stamps:
            return
        self._stamps = stamps  # so that a pair that is wrong is told once
        try:
            self._context = load_context(self._settings)
        except UsageError as error:
            log.warning("the new certificate is not served, the old one is: %s", error)
        else:
            log.info("the certificate was renewed: %s", self._settings.cert_file)


def load_context(settings: TlsSettings) -> ssl.SSLContext:
    """A server's context. Raises UsageError that names the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = _VERSIONS[settings.minimum], _VERSIONS[settings.maximum]
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if not settings.prefer_own_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if settings.ciphers:
        context.set_ciphers(":".join(settings.ciphers))
    if settings.curve:
        context.set_ecdh_curve(settings.curve)
    _load_pair(context, settings.cert_file, settings.key_file)
    if settings.client_ca_file is not None:
        context.verify_mode = ssl.CERT_REQUIRED if settings.client_required else ssl.CERT_OPTIONAL
        _load_ca(context, settings.client_ca_file)
    return context


def _load_pair(context: ssl.SSLContext, cert_file: Path, key_file: Path) -> None:
    def no_password() -> str:
        raise UsageError(f"key_file {key_file} is encrypted, and must be a private key in PEM without a password")

    for key, file in (("cert_file", cert_file), ("key_file", key_file)):
        _require_readable(key, file)
    try:
        context.load_cert_chain(cert_file, key_file, password=no_password)
    except ssl.SSLError as error:
        raise UsageError(
            f"cert_file {cert_file} and key_file {key_file} must be a certificate in PEM and its own private key: "
            f"{error.reason or 'no PEM'}"
        ) from error


def _load_ca(context: ssl.SSLContext, file: Path) -> None:
    _require_readable("client_ca_file", file)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError as error:
        raise UsageError(f"client_ca_file {file} must hold certificates in PEM: {error.reason or 'no PEM'}") from error


def _require_readable(key: str, file: Path) -> None:
    try:
        read_file(file, 1)
    except OSError as error:
        raise UsageError(f"{key} {file} cannot be read: {error.strerror}") from error


def _stamps(settings: TlsSettings) -> list[tuple[int, int, int] | None]:
    """What changes when a file does."""
    stamps: list[tuple[int, int, int] | None] = []
    for file in (settings.cert_file, settings.key_file, settings.client_ca_file):
        if file is None:
            continue
        try:
            found = file.stat()
        except OSError:  # while it is being replaced
            stamps.append(None)
        else:
            stamps.append((found.st_mtime_ns, found.st_ino, found.st_size))
    return stamps


def names_of(peer: Mapping[str, Any]) -> set[str]:
    """The alternative names of a certificate as ssl gives it: DNS, e-mail, URI, and addresses in their usual form."""
    names = set()
    for kind, name in peer.get("subjectAltName", ()):
        with suppress(ValueError):  # an address that is none names nobody
            names.add(str(ipaddress.ip_address(name)) if kind == "IP Address" else str(name))
    return names
