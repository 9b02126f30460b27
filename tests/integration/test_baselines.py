"""Screens against their baselines over the whole way: none yet, accepted, other, of another size, no picture."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from doai.cli import exits
from tests.integration.installed import ROOT, Up, up

RECIPE = (ROOT / "workflows/screenshot-baseline.yaml").read_text()
SCROLLED = RECIPE.replace(
    "  - id: settings\n", "  - {id: scroll, use: ui.swipe, with: {direction: up}}\n  - id: settings\n"
)
NAMED = """
workflow: named
params: {baseline: {type: string}}
retry: {attempts: 1}
steps:
  - {id: ready, use: device.bootstrap}
  - {id: page, use: screen.compare, with: {baseline: "${params.baseline}", masks: [{height: 5%}]}}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("baselines") / "data", phones=2) as installation:
        installation.wait_for_phones(2)
        yield installation


def stored(site: Up, folder: Path, source: str) -> str:
    """Store a workflow; return its name with the version."""
    path = folder / "recipe.yaml"
    path.write_text(source)
    added = site.json("workflows", "add", str(path))
    [item] = added if isinstance(added, list) else [added]
    return f"{item['name']}@{item['version']}"


def failures(result: Any) -> list[Any]:
    return [task["failure"] for task in result["tasks"]]


@pytest.mark.slow
def test_a_baseline_is_accepted_and_a_difference_seen(site: Up, tmp_path: Path) -> None:
    run = ("run", "screenshot-baseline", "--on", "all", "--wait")
    first = site.json(*run, code=exits.NOT_PASSED)
    for failure in failures(first):
        assert (failure["errorClass"], failure["code"], failure["step"]) == ("user", "baseline_missing", "settings")
    offered = re.compile(r"accept it with `doai (baseline accept \S+ --step settings)`")
    [words] = {found[1] for failure in failures(first) if (found := offered.search(failure["message"]))}
    accepted = site.json(*words.split())["accepted"]
    names = {failure["details"]["baseline"] for failure in failures(first)}
    assert {item["file"]["name"] for item in accepted} == names
    assert all(re.fullmatch(r"baseline/screenshot-baseline/settings/[\w-]+-360x\d+", name) for name in names)
    story = [event["text"] for event in site.json("story", first["run"]["runId"])]
    assert any("there was no baseline" in text for text in story)

    assert site.json(*run)["run"]["outcome"] == "passed"
    again = site.doai(*words.split()).stdout
    assert "@1 was already the picture of SIM000" in again

    other = stored(site, tmp_path, SCROLLED)
    page = tmp_path / "report.html"
    second = site.json(
        "run", other, "--on", "SIM0001", "--wait", "--no-retry", "--report", str(page), code=exits.NOT_PASSED
    )
    [failure] = failures(second)
    assert (failure["errorClass"], failure["code"]) == ("app", "screen_differs")
    assert failure["details"]["differing_pixels"] > 1000
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 2
    assert "settings-difference" in text
    site.doai("artifacts", "get", second["run"]["runId"], "--out", str(tmp_path / "out"))
    [difference] = (tmp_path / "out").rglob("*-settings-difference-1.png")
    with Image.open(difference) as picture:
        assert picture.size[0] == 360
        colours = picture.convert("RGB").getcolors(1_000_000) or []
    assert any(colour == (214, 0, 28) and count > 1000 for count, colour in colours)

    [task] = second["tasks"]
    told = site.doai("baseline", "accept", task["taskId"], "--device", "SIM0001").stdout
    assert re.match(r"baseline/\S+@2 is now the picture of SIM0001 in step settings: http://", told)
    assert site.json("run", other, "--on", "SIM0001", "--wait")["run"]["outcome"] == "passed"
    events = [e["payload"] for e in site.json("story", first["run"]["runId"]) if e["type"] == "file.stored"]
    assert events == [], "a baseline belongs to its file's story, not to the run's"


@pytest.mark.slow
def test_a_baseline_that_is_named_may_be_of_another_size(site: Up, tmp_path: Path) -> None:
    named = stored(site, tmp_path, NAMED)
    run = ("run", named, "--on", "SIM0002", "--wait", "--param")
    [missing] = failures(site.json(*run, "baseline=home", code=exits.NOT_PASSED))
    assert missing["code"] == "baseline_missing"
    out = io.BytesIO()
    Image.new("RGB", (720, 1280)).save(out, "PNG")
    (tmp_path / "home.png").write_bytes(out.getvalue())
    site.doai("files", "put", str(tmp_path / "home.png"))
    [failure] = failures(site.json(*run, "baseline=home", code=exits.NOT_PASSED))
    assert (failure["errorClass"], failure["code"], failure["step"]) == ("user", "baseline_other_size", "page")
    assert "The baseline home@1 is a picture of 720x1280 pixels, and the screen has 360x" in failure["message"]

    by_version = site.json(*run, "baseline=home@1", code=exits.NOT_PASSED)
    told = site.doai("baseline", "accept", by_version["run"]["runId"]).stdout
    assert told.startswith("home@2 is now the picture of SIM0002 in step page")
    assert "the workflow compares with version 1: name 2 there, or none" in told
    assert site.json(*run, "baseline=home")["run"]["outcome"] == "passed"
    refused = site.refused(*run, "baseline=home@9")
    assert "there is no file home@9: known are home@1, home@2" in refused

    (tmp_path / "shop.txt").write_text("no picture")
    site.doai("files", "put", str(tmp_path / "shop.txt"))
    [failure] = failures(site.json(*run, "baseline=shop", code=exits.NOT_PASSED))
    assert failure["code"] == "baseline_unreadable"


@pytest.mark.slow
def test_what_can_not_be_accepted_is_said(site: Up, tmp_path: Path) -> None:
    look = stored(site, tmp_path, "workflow: look\nsteps:\n  - {id: ready, use: device.bootstrap}\n")
    run_id = site.json("run", look, "--on", "SIM0001", "--wait")["run"]["runId"]
    assert "has compared no screen" in site.refused("baseline", "accept", run_id)
    assert "there is no run or task 'nope'" in site.refused("baseline", "accept", "nope")
    site.refused("baseline", "accept", code=exits.USAGE)
