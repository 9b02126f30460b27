"""`doai plugins check`: what it says of folders, without an installation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from doai.cli import exits
from doai.cli.main import main


def test_a_good_folder_and_a_bad_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder in (good, bad):
        folder.mkdir()
    (good / "plugin.yaml").write_text('name: acme\nversion: "1"\nbots: [{name: guard, module: guard}]\n')
    (good / "guard.py").write_text("")
    (bad / "plugin.yaml").write_text('name: acme\nversion: "1"\nbots: [{name: guard, module: grard}]\n')
    assert main(["plugins", "check", str(good)]) == exits.PASSED
    assert "it brings bots guard" in capsys.readouterr().out
    assert main(["plugins", "check", str(tmp_path)]) == exits.NOT_PASSED
    said = capsys.readouterr().out
    assert f"{bad}/plugin.yaml:3:30: bots[0].module: there is no module grard; put grard.py beside" in said
    assert main(["plugins", "check", "--json", str(bad), str(good)]) == exits.NOT_PASSED
    told = json.loads(capsys.readouterr().out)
    assert [item["valid"] for item in told] == [False, True]
    assert main(["plugins", "check", str(tmp_path / "not-there")]) == exits.USAGE


def test_what_is_installed_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOAI_PLUGIN_DIRS", str(tmp_path))
    (tmp_path / "plugin.yaml").write_text("name: acme\n")
    assert main(["plugins", "check"]) == exits.NOT_PASSED
    assert "is left out" in capsys.readouterr().out


def test_modules_are_imported_as_a_node_does_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plugin.yaml").write_text('name: acme\nversion: "1"\nsteps: [{name: acme.do, module: acme_do}]\n')
    (tmp_path / "acme_do.py").write_text("import doai\n\nimport no_such_module_at_all\n")
    assert main(["plugins", "check", str(tmp_path)]) == exits.NOT_PASSED
    said = capsys.readouterr().out
    assert "the module acme_do can not be imported (acme_do.py, line 3): ModuleNotFoundError" in said
