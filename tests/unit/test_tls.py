"""Which server is trusted, and which files make one."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from doai.errors import ConfigError
from doai.tls import (
    check_server_files,
    client_context,
    fingerprint_of,
    is_http_url,
    parse_fingerprint,
    sends_in_clear,
    why_untrusted,
)
from tests.certificates import make_certificate


def greet(certificate: Path, key: Path, client: ssl.SSLContext) -> bytes:
    """Have a TLS server say one word to a client; return what arrived."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    near, far = socket.socketpair()

    def serve() -> None:
        try:
            with context.wrap_socket(far, server_side=True) as server:
                server.sendall(b"hello")
        except (ssl.SSLError, OSError):
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with near, client.wrap_socket(near, server_hostname="127.0.0.1") as secure:
            return secure.recv(5)
    finally:
        thread.join(90)


def test_a_pinned_certificate_is_trusted_and_no_other(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    other, _ = make_certificate(tmp_path, "other")
    assert greet(certificate, key, client_context(fingerprint=fingerprint_of(certificate))) == b"hello"
    with pytest.raises(ssl.SSLCertVerificationError, match="not the pinned one") as refused:
        greet(certificate, key, client_context(fingerprint=fingerprint_of(other)))
    assert "somebody is in between" in why_untrusted(refused.value)


def test_an_authority_is_trusted_and_strangers_are_not(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    assert greet(certificate, key, client_context(ca_file=str(certificate))) == b"hello"
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        greet(certificate, key, client_context())
    assert "self-signed" in why_untrusted(refused.value)
    assert why_untrusted(OSError("no route")) == ""


def test_a_fingerprint_may_be_spelt_as_openssl_does(tmp_path: Path) -> None:
    certificate, _ = make_certificate(tmp_path)
    digits = fingerprint_of(certificate)
    pairs = ":".join(digits[i : i + 2] for i in range(0, 64, 2)).upper()
    assert parse_fingerprint(f"sha256 Fingerprint={pairs}\n") == digits
    assert parse_fingerprint(f"SHA256:{digits}") == digits
    with pytest.raises(ConfigError, match="64 hexadecimal digits"):
        parse_fingerprint("aa:bb")


def test_files_that_make_no_server_are_named(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    check_server_files(certificate, key)
    other, other_key = make_certificate(tmp_path, "other")
    with pytest.raises(ConfigError, match=r"other\.key is not the key of"):
        check_server_files(certificate, other_key)
    with pytest.raises(ConfigError, match="holds no certificate"):
        check_server_files(key, key)
    with pytest.raises(ConfigError, match=r"gone\.pem cannot be read: No such file"):
        check_server_files(tmp_path / "gone.pem", key)
    with pytest.raises(ConfigError, match=r"tls_key .*gone\.key cannot be read"):
        check_server_files(certificate, tmp_path / "gone.key")
    other.chmod(0o600)
    with pytest.raises(ConfigError, match="both must be PEM"):
        check_server_files(certificate, other)
    key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(ConfigError, match="has a passphrase"):
        check_server_files(certificate, key)
    key.chmod(0o644)
    with pytest.raises(ConfigError, match=r"mode 0644.*chmod 600"):
        check_server_files(certificate, key)


@pytest.mark.parametrize("bad", ["gone.pem", "text.pem"])
def test_authorities_that_are_none_are_named(tmp_path: Path, bad: str) -> None:
    (tmp_path / "text.pem").write_text("no certificate\n")
    with pytest.raises(ConfigError, match=bad):
        client_context(ca_file=str(tmp_path / bad))


@pytest.mark.parametrize(
    ("url", "fits", "clear"),
    [
        ("http://127.0.0.1:7700", True, False),
        ("http://[::1]:7700", True, False),
        ("http://localhost", True, False),
        ("http://10.0.0.5:7700", True, True),
        ("http://phones.example", True, True),
        ("https://10.0.0.5:7700", True, False),
        ("https://me@10.0.0.5", False, False),
        ("https://10.0.0.5:99999", False, False),
        ("ftp://10.0.0.5", False, False),
        ("10.0.0.5:7700", False, False),
    ],
)
def test_what_an_address_is_and_whether_it_is_readable_on_the_way(url: str, fits: bool, clear: bool) -> None:
    assert is_http_url(url) is fits
    if fits:
        assert sends_in_clear(url) is clear
