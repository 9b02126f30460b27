"""Files for phones over a real broker and a real admin: put, named, refused, fetched by people and nodes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from doai.apk.signature import java_hash
from doai.backoff import Backoff
from doai.errors import StepError
from doai.messages.work import FilePin
from doai.node.fetch import Fetcher
from tests.apk.builder import make_apk
from tests.apk.keys import OTHER_KEY
from tests.integration.admin_site import Site, problem

ONE, TWO = os.urandom(300_000), b"another one"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("site"))
    try:
        found.secret = found.add_node()
        yield found
        assert found.admin.stop() == 0
    finally:
        found.close()


def put(site: Site, reference: str, data: bytes, **headers: str) -> httpx.Response:
    return site.api.put(f"/files/{reference}", content=data, headers=headers)


def on_disk(site: Site) -> set[str]:
    return {path.name for path in (site.data_dir / "files").rglob("*") if path.is_file()}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.slow
def test_a_file_is_put_shown_listed_fetched_and_removed(site: Site) -> None:
    apk = "application/vnd.android.package-archive"
    answer = put(site, "my-app@1.4", ONE, **{"Content-Type": apk, "X-Content-Sha256": sha256(ONE)})
    assert answer.status_code == 201, answer.text
    stored: dict[str, Any] = answer.json()
    assert stored["url"] == answer.headers["Location"] == f"{site.url}/api/v1/files/my-app@1.4"
    assert (stored["version"], stored["newest"], stored["mediaType"]) == ("1.4", True, apk)
    assert (stored["sha256"], stored["sizeBytes"], stored["createdBy"]) == (sha256(ONE), 300_000, "user/first")
    assert put(site, "my-app@1.4", ONE).status_code == 200, "the same again"
    assert put(site, "my-app", TWO).json()["version"] == "1"
    assert put(site, "my-app", TWO).status_code == 200

    assert site.api.get("/files/my-app").json()["version"] == "1"
    assert site.api.get("/files/my-app@1.4").json()["newest"] is False
    items = site.api.get("/files", params={"prefix": "my-"}).json()["items"]
    assert [(item["version"], item["newest"]) for item in items] == [("1.4", False), ("1", True)]

    content = httpx.get(stored["contentUrl"], headers=site.api.headers, trust_env=False)
    assert (content.content, content.headers["ETag"]) == (ONE, f'"{sha256(ONE)}"')
    assert content.headers["content-type"] == apk
    rest = site.api.get(f"/contents/{sha256(ONE)}", headers={"Range": "bytes=299990-"})
    assert (rest.status_code, rest.content) == (206, ONE[-10:])
    assert rest.headers["Content-Range"] == "bytes 299990-299999/300000"
    assert site.api.get(f"/contents/{sha256(ONE)}", headers={"Range": "bytes=300000-"}).status_code == 416

    assert on_disk(site) == {sha256(ONE), sha256(TWO)}
    removed = site.api.delete("/files/my-app@1.4")
    assert (removed.status_code, removed.json()["unused"]) == (200, True)
    assert on_disk(site) == {sha256(TWO)}
    problem(site.api.get(f"/contents/{sha256(ONE)}"), 404, "not_found")
    problem(site.api.get("/files/my-app@1.4"), 404, "not_found")
    texts = [event["text"] for event in site.api.get("/events", params={"type": "file.*"}).json()["items"]]
    assert texts[-1] == "File my-app@1.4 removed by user/first"


@pytest.mark.slow
def test_what_can_not_be_put_is_refused_and_leaves_nothing(site: Site) -> None:
    assert put(site, "fixed@1", b"first").status_code == 201
    before = on_disk(site)
    problem(put(site, "fixed@1", b"other"), 409, "file_exists")
    told = {"X-Content-Sha256": sha256(b"other")}
    problem(put(site, "fixed@1", b"other", **told), 409, "file_exists")
    problem(put(site, "fixed@2", b"not these", **told), 422, "damaged_upload")
    problem(put(site, "fixed@2", b"x", **{"X-Content-Sha256": "nonsense"}), 400, "bad_request")
    for name in ("a b", ".hidden", "x@", "a@1@2", "%2e%2e/%2e%2e/etc/passwd"):
        assert put(site, name, b"x").json()["code"] in ("bad_file_name", "not_found", "method_not_allowed"), name
    problem(site.api.delete("/files/fixed"), 400, "bad_request")
    assert "did you mean 'fixed'" in problem(site.api.delete("/files/fixd@1"), 404, "not_found")["detail"]
    assert "versions are 1" in problem(site.api.get("/files/fixed@9"), 404, "not_found")["detail"]

    def unsized() -> Iterator[bytes]:
        yield b"data"

    problem(site.api.put("/files/fixed@3", content=unsized()), 411, "length_required")
    assert on_disk(site) == before


@pytest.mark.slow
def test_a_baseline_has_a_name_of_several_parts(site: Site) -> None:
    name = "baseline/login/home/Pixel-7-1080x2400"
    assert put(site, name, b"png", **{"Content-Type": "image/png"}).json()["version"] == "1"
    assert site.api.get(f"/files/{name}").json()["url"].endswith(f"/files/{name}@1")


@pytest.mark.slow
def test_a_node_fetches_with_its_secret_and_nobody_without(site: Site, tmp_path: Path) -> None:
    assert put(site, "for-nodes@1", ONE).status_code in (200, 201)
    pin = FilePin(reference="for-nodes", version="1", sha256=sha256(ONE), size_bytes=len(ONE))
    quick = Backoff(first_s=0.001, longest_s=0.002)

    def fetch(pin: FilePin, secret: str) -> bytes:
        fetcher = Fetcher(site.url, secret, "node-1", backoff=quick)
        trio.run(fetcher.fetch, pin, tmp_path / "file")
        return (tmp_path / "file").read_bytes()

    assert fetch(pin, site.secret) == ONE
    with pytest.raises(StepError, match="HTTP 401, X-Node-Id and X-Node-Auth are not those") as caught:
        fetch(pin, "wrong")
    assert caught.value.code == "file_refused"
    unknown = FilePin(reference="gone", version="1", sha256="0" * 64, size_bytes=1)
    with pytest.raises(StepError, match="does not give gone to this node: HTTP 404"):
        fetch(unknown, site.secret)
    bare = httpx.get(f"{site.url}/api/v1/contents/{sha256(ONE)}", trust_env=False)
    problem(bare, 401, "unauthorized")


@pytest.mark.slow
def test_what_is_in_an_app_is_told_and_what_is_none_is_named(site: Site) -> None:
    data = make_apk("com.example.app", version_code=3, abis=("x86_64",), key=OTHER_KEY)
    put(site, "tell@1", data)
    app: dict[str, Any] = site.api.get("/apps/tell").json()
    assert (app["file"], app["package"], app["versionCode"], app["abis"]) == (
        "tell@1",
        "com.example.app",
        3,
        ["x86_64"],
    )
    assert app["certificateHash"] == java_hash(OTHER_KEY.certificate)
    assert site.api.get("/apps/tell@1").json() == app
    put(site, "tell@2", data.replace(b"classes.dex", b"klasses.dex"))
    assert "not those that were signed" in problem(site.api.get("/apps/tell"), 422, "apk_damaged")["detail"]
    put(site, "tell@3", TWO)
    assert "tell@3 is no app" in problem(site.api.get("/apps/tell@3"), 422, "not_an_apk")["detail"]
    problem(site.api.get("/apps/nobody"), 404, "not_found")
    for version in (1, 2, 3):
        assert site.api.delete(f"/files/tell@{version}").status_code == 200


@pytest.mark.slow
def test_below_the_disk_reserve_no_upload_is_taken(site: Site) -> None:
    admin = site.start_admin("--disk-reserve-mb", str(10**9))
    try:
        url = admin.wait_for("X_DOAI_URL") + "/api/v1"
        full = httpx.put(f"{url}/files/late@1", content=b"x", headers=site.api.headers, trust_env=False)
        assert "are kept for what has begun" in problem(full, 507, "disk_full")["detail"]
        assert admin.stop() == 0
    finally:
        admin.close()
