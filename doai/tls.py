"""TLS of the admin's HTTP: which certificate is trusted, and whether a server's files can be used (steps 1, 10).

A client trusts the authorities of its system; or those of one PEM file; or, with a fingerprint, exactly one
certificate, whatever its names and whoever signed it: what a self-made certificate needs.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import ssl
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from doai.errors import ConfigError

_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address; a name other than localhost may be anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_http_url(url: str) -> bool:
    """Whether the text is http:// or https:// with a host, and nothing that does not belong into an address."""
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        return False
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain and port_ok


def sends_in_clear(url: str) -> bool:
    """Whether what is sent to this address can be read on the way: http:// that leaves the machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def check_admin_url(url: str, *, carries: str, plain_http: bool) -> None:
    """Raise ConfigError where the admin's address is none, or where ``carries`` would go over it unencrypted.

    ``plain_http``: something else encrypts the way.
    """
    if not is_http_url(url):
        raise ConfigError(
            f"admin_url can not be {url[:200]!r}: write https://HOST:PORT, e.g. https://10.0.0.5:7700"
        )
    if sends_in_clear(url) and not plain_http:
        raise ConfigError(
            f"admin_url {url} would carry {carries} unencrypted: use https:// (the admin's --tls-cert, or a "
            "proxy), or set admin_plain_http = true where a tunnel encrypts the way"
        )


def parse_fingerprint(text: str) -> str:
    """Return a SHA-256 fingerprint as 64 hexadecimal digits, from any usual spelling; raises ConfigError."""
    digits = text.strip().lower().removeprefix("sha256:").removeprefix("sha256 fingerprint=").replace(":", "")
    if _FINGERPRINT.fullmatch(digits) is None:
        raise ConfigError(
            f"{text[:80]!r} is no fingerprint: it is the certificate's SHA-256, 64 hexadecimal digits"
        )
    return digits


def fingerprint_of(certificate: Path) -> str:
    """Return the SHA-256 of the first certificate in a PEM file (64 hexadecimal digits); raises ConfigError."""
    try:
        text = certificate.read_text("ascii", "replace")
    except OSError as error:
        raise ConfigError(f"the certificate {certificate} cannot be read: {error.strerror}") from error
    found = re.search(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", text, re.DOTALL)
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(found[0] if found else "")).hexdigest()
    except ValueError as error:
        raise ConfigError(f"{certificate} holds no certificate in PEM form: export it as PEM") from error


def client_context(*, ca_file: str = "", fingerprint: str = "") -> ssl.SSLContext:
    """Return what a client verifies with; a server that is another one fails the handshake, before any data.

    Raises ConfigError when the file or the fingerprint can not be used.
    """
    if fingerprint:
        return _PinnedContext(parse_fingerprint(fingerprint))
    try:
        return ssl.create_default_context(cafile=str(Path(ca_file).expanduser()) if ca_file else None)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{ca_file} can not be used as certificate authorities (PEM): {reason}") from error


def why_untrusted(error: BaseException) -> str:
    """Return why a server's certificate was refused, from an error's causes; empty = something else failed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return getattr(cause, "verify_message", "") or str(cause.args[-1])
        cause = cause.__cause__ or cause.__context__
    return ""


def check_server_files(certificate: Path, key: Path) -> None:
    """Raise ConfigError, with what to do, unless the two files make a TLS server."""
    fingerprint_of(certificate)
    try:
        mode = key.stat().st_mode & 0o777
        text = key.read_text("ascii", "replace")
    except OSError as error:
        raise ConfigError(f"tls_key {key} cannot be read: {error.strerror}") from error
    if mode & 0o007:
        raise ConfigError(
            f"tls_key {key} may be read by everybody (mode {mode:04o}): run chmod 600 on it, or make a new one if "
            "somebody may have read it"
        )
    if "ENCRYPTED" in text:
        raise ConfigError(f"tls_key {key} has a passphrase, and nobody is there to type it: store it without one")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"tls_key {key} is not the key of tls_cert {certificate}: give the pair that was made together"
            ) from error
        raise ConfigError(
            f"tls_cert {certificate} and tls_key {key} can not be used ({error.reason or error}): both must be PEM"
        ) from error


def _check(context: ssl.SSLContext, certificate: bytes | None) -> None:
    assert isinstance(context, _PinnedContext)
    if certificate is None or hashlib.sha256(certificate).hexdigest() != context.fingerprint:
        raise ssl.SSLCertVerificationError(
            1, "the server's certificate is not the pinned one: it was replaced, or somebody is in between"
        )


class _PinnedSocket(ssl.SSLSocket):
    """For blocking clients: looks at the certificate within the handshake."""

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        _check(self.context, self.getpeercert(binary_form=True))


class _PinnedObject(ssl.SSLObject):
    """For clients that do their own input and output."""

    def do_handshake(self) -> None:
        super().do_handshake()
        _check(self.context, self.getpeercert(binary_form=True))


class _PinnedContext(ssl.SSLContext):
    """Accepts one certificate, whose SHA-256 it has."""

    sslsocket_class = _PinnedSocket
    sslobject_class = _PinnedObject
    fingerprint: str

    def __new__(cls, fingerprint: str) -> Self:
        self = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        self.fingerprint = fingerprint
        # Names, dates and signers say nothing beyond: the handshake proves that the server has this one's key.
        self.check_hostname = False
        self.verify_mode = ssl.CERT_NONE
        return self
