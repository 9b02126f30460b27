"""What a CI server gets of a run, and what authors do with versions, against a real installation."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as Xml

import httpx
import pytest

from doai.cli import exits
from tests.integration.admin_site import problem
from tests.integration.installed import COMMAND_S, Up, environment, up

MIXED = """
workflow: mixed
title: {en: Some pass, ko: 일부만 통과}
retry: {attempts: 1}
steps:
  - {id: ready, use: device.bootstrap}
  - {id: shot, use: screen.capture}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.shot.artifact}"}}
  - {id: odd, use: wait, with: {for: 10ms}, if: "device.serial == 'SIM0001'"}
  - {id: see, use: ui.assert_visible, with: {text: "nowhere"}, if: "device.serial == 'SIM0002'"}
"""
SLOW = "workflow: slow\nretry: {attempts: 1}\nsteps:\n  - {id: nap, use: wait, with: {for: 60s}}\n"
OTHER = SLOW.replace("60s", "50s")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("results") / "data", phones=2) as installation:
        installation.wait_for_phones(2)
        folder = tmp_path_factory.mktemp("recipes")
        for name, source in (("mixed", MIXED), ("slow", SLOW), ("slow", OTHER)):
            (folder / f"{name}.yaml").write_text(source)
            installation.doai("workflows", "add", str(folder / f"{name}.yaml"))
        yield installation


@pytest.fixture(scope="module")
def api(site: Up) -> Iterator[httpx.Client]:
    place = json.loads((site.data_dir / "cli.json").read_text())
    headers = {"Authorization": f"Bearer {place['token']}"}
    with httpx.Client(base_url=place["url"] + "/api/v1", headers=headers, trust_env=False, timeout=90) as client:
        yield client


@pytest.fixture(scope="module")
def mixed(site: Up, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A run of which one task passed and one failed, with all files in a folder."""
    out = tmp_path_factory.mktemp("out")
    files = ("--junit", f"{out}/r.xml", "--csv", f"{out}/r.csv", "--report", f"{out}/r.html")
    done = site.doai("run", "mixed", "--on", "all", "--wait", *files, code=exits.NOT_PASSED)
    return done.stdout.splitlines()[-1].split()[1], out


def test_all_files_tell_of_the_same_run(site: Up, mixed: tuple[str, Path]) -> None:
    run_id, out = mixed
    [suite] = Xml.fromstring((out / "r.xml").read_bytes())
    assert (suite.get("id"), suite.get("tests"), suite.get("failures")) == (run_id, "2", "1")
    rows = list(csv.DictReader(io.StringIO((out / "r.csv").read_text("utf-8-sig"))))
    assert [(row["device"], row["outcome"]) for row in rows] == [("SIM0001", "passed"), ("SIM0002", "failed")]
    page = (out / "r.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert run_id in page
    assert not list(out.glob("*.part"))


def test_a_report_of_a_run_that_ended_by_step_and_in_korean(
    site: Up, mixed: tuple[str, Path], tmp_path: Path
) -> None:
    files = ("--junit", f"{tmp_path}/s.xml", "--csv", f"{tmp_path}/s.csv", "--report", f"{tmp_path}/s.html")
    told = site.json("report", mixed[0], "--rows", "steps", "--lang", "ko", *files)
    assert set(told["files"]) == {"junit", "csv", "report"}
    assert "일부만 통과" in (tmp_path / "s.html").read_text()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "s.csv").read_text("utf-8-sig"))))
    states = {(row["device"], row["step"]): row["outcome"] for row in rows}
    assert states["SIM0001", "odd"] == "passed"
    assert states["SIM0002", "odd"] == "skipped"
    assert states["SIM0002", "see"] == "failed"


def test_the_api_has_every_step_in_pages(api: httpx.Client, mixed: tuple[str, Path]) -> None:
    first = api.get(f"/runs/{mixed[0]}/steps", params={"limit": 1}).json()
    second = api.get(f"/runs/{mixed[0]}/steps", params={"limit": 1, "cursor": first["next"]}).json()
    assert second["next"] is None
    serials = [{step["deviceSerial"] for step in page["items"]} for page in (first, second)]
    assert sorted(serials, key=str) == [{"SIM0001"}, {"SIM0002"}]
    [failed] = [step for step in (*first["items"], *second["items"]) if step["state"] == "failed"]
    assert (failed["stepId"], failed["use"], failed["attempt"]) == ("see", "ui.assert_visible", 1)
    assert failed["failure"]["errorClass"] == "app"
    problem(api.get("/runs/nope/steps"), 404, "not_found")


def test_a_file_that_can_not_be_written_is_found_before_anything_runs(site: Up, tmp_path: Path) -> None:
    before = len(site.json("runs", "--limit", "100"))
    run = ("run", "slow", "--on", "SIM0001")
    assert "make it first" in site.refused(*run, "--wait", "--csv", f"{tmp_path}/no/r.csv", code=exits.USAGE)
    assert "is a folder" in site.refused(*run, "--wait", "--junit", str(tmp_path), code=exits.USAGE)
    assert "needs --wait" in site.refused(*run, "--junit", f"{tmp_path}/r.xml", code=exits.USAGE)
    assert "nothing is asked for" in site.refused("report", "x", code=exits.USAGE)
    assert len(site.json("runs", "--limit", "100")) == before
    refused = site.refused("report", "nope", "--csv", f"{tmp_path}/r.csv", code=exits.NOT_PASSED)
    assert "there is no run 'nope'" in refused
    assert list(tmp_path.iterdir()) == []


def test_the_exit_code_says_that_a_run_passed_or_was_cancelled(site: Up) -> None:
    run = ("run", "mixed", "--on", "SIM0001", "--wait")
    assert site.doai(*run, code=exits.PASSED).stdout.splitlines()[-1].split()[2] == "passed"
    words = ("run", "slow", "--on", "SIM0001", "--idempotency-key", "cancelled")
    run_id = site.json(*words)["runId"]
    waiting = subprocess.Popen(
        [sys.executable, "-m", "doai.cli.main", *words, "--wait", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(site.data_dir),
    )
    site.doai("cancel", run_id)
    out, _ = waiting.communicate(timeout=COMMAND_S)
    assert waiting.returncode == exits.CANCELLED, out


def test_the_exit_code_says_that_a_run_expired(site: Up) -> None:
    site.doai("quarantine", "SIM0002", "--why", "its screen is changed")
    try:
        site.doai("run", "slow", "--on", "SIM0002", "--expires-in", "0.5", "--wait", code=exits.EXPIRED)
    finally:
        site.doai("unquarantine", "SIM0002")


def test_the_exit_code_says_that_nothing_was_reached_or_is_known(site: Up, tmp_path: Path) -> None:
    run = ("run", "mixed", "--on", "all", "--wait")
    known = {"DOAI_URL": "http://127.0.0.1:1", "DOAI_TOKEN": "x"}
    assert "does not answer" in site.refused(*run, code=exits.UNAVAILABLE, **known)
    assert "no API is known" in site.refused(*run, code=exits.CONFIG, DOAI_DATA_DIR=str(tmp_path))
    site.refused("run", code=exits.USAGE)


def test_versions_are_compared_archived_and_made_active(site: Up) -> None:
    assert '~ steps.nap.with.for: "60s" -> "50s"' in site.doai("workflows", "diff", "slow@1", "slow@2").stdout
    assert site.json("workflows", "archive", "slow@2")["activeVersion"] == 1
    assert [item["state"] for item in site.json("workflows", "versions", "slow")] == ["archived", "active"]
    assert "is archived and can not be run anew" in site.refused("run", "slow@2", "--on", "SIM0001")
    shown = site.doai("workflows", "activate", "slow@2").stdout
    assert shown.startswith("slow@2 is active; slow means slow@2: http://")
    assert "two workflows" in site.refused("workflows", "diff", "slow@1", "mixed@1", code=exits.USAGE)


def test_the_api_of_versions(api: httpx.Client) -> None:
    diff = api.get("/workflows/slow/diff", params={"from": 1, "to": 2}).json()
    assert [(change["path"], change["before"], change["after"]) for change in diff["changes"]] == [
        ("steps.nap.with.for", "60s", "50s")
    ]
    problem(api.get("/workflows/slow/diff", params={"from": 1, "to": 9}), 404, "not_found")
    headers = {"Idempotency-Key": "archive-1"}
    first = api.post("/workflows/slow/versions/1/archive", headers=headers)
    assert first.json() == {"name": "slow", "version": 1, "state": "archived", "activeVersion": 2}
    api.post("/workflows/slow/versions/1/activate")
    assert api.post("/workflows/slow/versions/1/archive", headers=headers).json() == first.json()
    assert api.get("/workflows/slow/versions").json()["items"][1]["state"] == "active"
    problem(api.post("/workflows/nope/versions/1/archive"), 404, "workflow_not_found")
    picture = api.get("/workflows/slow/graph.svg")
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert "default-src 'none'" in picture.headers["content-security-policy"]
    assert Xml.fromstring(picture.content).tag.endswith("svg")
    assert api.post("/workflow-checks", content=SLOW.encode()).json()["steps"] == 1
    refused = problem(
        api.post("/workflow-checks", content=SLOW.replace("wait", "wat").encode()), 422, "bad_workflow"
    )
    assert refused["mistakes"][0]["line"] == 4


def test_files_are_checked_drawn_and_imported_without_an_installation(tmp_path: Path) -> None:
    def doai(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "doai.cli.main", "workflows", *words],
            capture_output=True,
            text=True,
            env=environment(tmp_path / "nowhere"),
            cwd=tmp_path,
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    (tmp_path / "a.yaml").write_text(MIXED)
    (tmp_path / "b.yaml").write_text(SLOW.replace("wait", "wat"))
    told = doai("validate", "a.yaml", "b.yaml", code=exits.NOT_PASSED)
    assert "a.yaml: mixed has no mistakes (5 steps)" in told
    assert "b.yaml:4:" in told
    assert json.loads(doai("validate", "a.yaml", "--json"))[0]["valid"] is True
    assert doai("graph", "a.yaml").startswith("<svg")
    assert "did you mean 'wait'?" in doai("graph", "b.yaml", code=exits.USAGE)
    (tmp_path / "flow.yaml").write_text("appId: com.example.login\n---\n- launchApp\n- tapOn: Login\n")
    assert "flow: 3 steps in made.yaml" in doai("import-maestro", "flow.yaml", "--out", "made.yaml")
    doai("validate", "made.yaml")
    (tmp_path / "flow.yaml").write_text("- back\n- shake\n")
    assert "flow.yaml:2: shake: this command has no counterpart" in doai(
        "import-maestro", "flow.yaml", code=exits.PARTIAL
    )
    (tmp_path / "flow.yaml").write_text("- shake\n")
    doai("import-maestro", "flow.yaml", "--out", "none.yaml", code=exits.USAGE)
    assert not (tmp_path / "none.yaml").exists()
    assert "cannot read" in doai("import-maestro", "no.yaml", code=exits.USAGE)
