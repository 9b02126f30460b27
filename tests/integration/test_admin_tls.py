"""The API over HTTPS as real processes serve and check it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from doai.cli.admin import main as admin_main
from doai.cli.main import main as doai
from doai.tls import client_context, fingerprint_of
from tests.certificates import make_certificate
from tests.integration.admin_site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("tls"))
    try:
        yield found
    finally:
        found.close()


def test_https_is_served_and_clients_check_who_serves_it(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = make_certificate(site.folder)
    other, _ = make_certificate(site.folder, "other")
    admin = site.start_admin("--tls-cert", str(certificate), "--tls-key", str(key))
    try:
        url = admin.wait_for("X_DOAI_URL")
        assert url.startswith("https://127.0.0.1:")
        fingerprint = admin.wait_for("X_DOAI_FINGERPRINT")
        assert fingerprint == fingerprint_of(certificate)
        assert fingerprint in admin.log
        with httpx.Client(verify=client_context(fingerprint=fingerprint), trust_env=False) as client:
            assert client.get(f"{url}/healthz").status_code == 200
        monkeypatch.setenv("DOAI_TOKEN", site.token)
        assert doai(["nodes", "--url", url, "--fingerprint", fingerprint]) == 0
        assert doai(["nodes", "--url", url, "--ca-file", str(certificate)]) == 0
        capsys.readouterr()
        assert doai(["nodes", "--url", url, "--fingerprint", fingerprint_of(other)]) == 77
        assert "not the pinned one" in capsys.readouterr().err
        assert doai(["nodes", "--url", url]) == 77
        assert "give --ca-file" in capsys.readouterr().err
        assert doai(["nodes", "--url", url, "--fingerprint", "12"]) == 78
        assert "is no fingerprint" in capsys.readouterr().err
        assert admin.stop() == 0
    finally:
        admin.close()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--host", "0.0.0.0"], "give --tls-cert and --tls-key"),
        (["--tls-cert", "cert.pem"], "tls_key is needed too"),
        (["--tls-key", "key.pem"], "tls_cert is needed too"),
        (["--tls-cert", "gone.pem", "--tls-key", "gone.key"], "gone.pem cannot be read"),
        (["--public-url", "10.0.0.5:7700"], "write https://HOST:PORT"),
    ],
)
def test_what_can_not_be_is_refused_before_the_start(
    flags: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert admin_main(["--data-dir", str(tmp_path), *flags]) == 78
    assert sentence in capsys.readouterr().err
