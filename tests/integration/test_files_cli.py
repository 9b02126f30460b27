"""`doai files`, and what it is for: an app put once, fetched once by the node, installed on every phone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from doai.cli import exits
from tests.apk.builder import make_apk
from tests.integration.installed import Up, up

APP = make_apk("com.example.shop", version_code=14, version_name="1.4", padding_bytes=300_000)
RECIPE = """
workflow: install-shop
params: {app: {type: string, default: shop}}
steps:
  - {id: put, use: app.install, with: {file: "${params.app}", package: com.example.shop}}
  - {id: copy, use: file.push, with: {file: "${params.app}", path: /sdcard/Download/shop.apk}}
  - {id: seen, use: device.shell, with: {command: sha256sum /sdcard/Download/shop.apk}}
outputs: {seen: "${steps.seen.stdout}", code: "${steps.put.version_code}", bytes: "${steps.put.size_bytes}"}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("files") / "data", phones=3) as installation:
        installation.wait_for_phones(3)
        yield installation


def fetched(site: Up) -> int:
    """How often the admin sent the app, by its own log."""
    log = (site.data_dir / "log" / "admin.log").read_text()
    return len(re.findall(rf"GET /api/v1/contents/{hashlib.sha256(APP).hexdigest()} 20\d", log))


@pytest.mark.slow
def test_an_app_is_fetched_once_and_installed_on_every_phone(site: Up, tmp_path: Path) -> None:
    apk, recipe = tmp_path / "shop.apk", tmp_path / "install-shop.yaml"
    apk.write_bytes(APP)
    recipe.write_text(RECIPE)
    missing = site.refused("run", str(recipe), "--on", "all")
    assert "there is no file shop, and none at all: `doai files put` stores one" in missing

    put = site.json("files", "put", str(apk), "--version", "1.4")
    assert (put["name"], put["version"], put["sha256"]) == ("shop", "1.4", hashlib.sha256(APP).hexdigest())
    assert put["url"].startswith("http://127.0.0.1:")
    again = site.doai("files", "put", str(apk), "--version", "1.4").stdout
    assert again.startswith("shop@1.4 was stored already: http://")

    done = site.json("run", str(recipe), "--on", "all", "--wait")
    assert [task["state"] for task in done["tasks"]] == ["passed"] * 3
    for task in done["tasks"]:
        outputs = site.json("tasks", task["taskId"])["outputs"]
        assert (outputs["code"], outputs["bytes"]) == (14, len(APP))
        assert outputs["seen"].split() == [put["sha256"], "/sdcard/Download/shop.apk"]
    cached = list((site.data_dir / "node-1" / "files").iterdir())
    assert [path.read_bytes() for path in cached] == [APP]
    assert fetched(site) == 1
    site.json("run", str(recipe), "--on", "SIM0001", "--wait")
    assert fetched(site) == 1


@pytest.mark.slow
def test_files_as_a_person_sees_them(site: Up, tmp_path: Path) -> None:
    picture = tmp_path / "home page.png"
    picture.write_bytes(b"one")
    assert site.doai("files", "put", str(picture)).stdout.startswith("home-page@1 stored: http://")
    picture.write_bytes(b"two")
    assert site.doai("files", "put", str(picture)).stdout.startswith("home-page@2 stored: http://")
    shown = site.doai("files", "list", "home").stdout.splitlines()
    assert shown[0].split() == ["file", "which", "bytes", "type", "stored", "by"]
    assert "newest" not in shown[1]
    assert re.match(r"home-page@2 +newest +3 +image/png", shown[2])
    assert shown[-1].endswith("/files?prefix=home")
    assert "home-page" in site.doai("files", "show", "home-page").stdout
    assert site.json("files", "show", "home-page@1")["newest"] is False
    assert site.doai("files", "rm", "home-page@1").stdout.startswith("home-page@1 removed: http://")
    assert "did you mean 'home-page'" in site.refused("files", "show", "home-pag")


@pytest.mark.slow
def test_what_can_not_be_is_said_in_one_sentence(site: Up, tmp_path: Path) -> None:
    noapp = tmp_path / "notes.apk"
    noapp.write_text("notes")
    assert "can not be installed on any phone" in site.refused("files", "put", str(noapp), code=exits.USAGE)
    text = tmp_path / "text.txt"
    text.write_text("text")
    site.doai("files", "put", str(text), "--name", "fixed@1")
    text.write_text("other")
    assert "a version never changes" in site.refused("files", "put", str(text), "--name", "fixed@1")
    for words, sentence in [
        (("put", str(tmp_path / "absent")), "cannot read"),
        (("put", str(tmp_path)), "cannot read"),
        (("put", str(text), "--name", "../up"), "can not name a file"),
        (("put", str(text), "--name", "a@1", "--version", "2"), "given twice"),
        (("rm", "fixed"), "say which version to remove"),
    ]:
        assert sentence in site.refused("files", *words, code=exits.USAGE), words
