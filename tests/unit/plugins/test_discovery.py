"""Plug-ins are found in folders, in distributions and beside doai; what is left out is told with its reason."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from doai.plugins import discovery
from doai.plugins.discovery import copy_plugin, digest_of, find_plugins, read_plugin, signature_of
from doai.plugins.manifest import FILE, ManifestError


def make(parent: Path, folder: str, name: str = "acme", version: str = "1") -> Path:
    place = parent / folder
    place.mkdir(parents=True)
    (place / FILE).write_text(
        f'name: {name}\nversion: "{version}"\nsteps: [{{name: {name}.do, module: {name}_do}}]\n'
    )
    (place / f"{name}_do.py").write_text("x = 1\n")
    return place


def test_folders_are_looked_through_and_the_highest_version_is_taken(tmp_path: Path) -> None:
    old = make(tmp_path, "old", version="1.9")
    new = make(tmp_path, "new", version="1.10")
    make(tmp_path, "other", name="other")
    (tmp_path / "no-plug-in").mkdir()
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / FILE).write_text("name: bad\n")
    found = find_plugins([tmp_path, tmp_path / "not-there"], shipped=tmp_path / "nothing")
    assert [plugin.label for plugin in found.plugins] == [
        f"acme 1.10 ({digest_of(new)[:8]})",
        f"other 1 ({digest_of(tmp_path / 'other')[:8]})",
    ]
    reasons = {out.name: out.reason for out in found.left_out}
    assert "highest version is taken" in reasons["acme"]
    assert "'version' is missing" in reasons["bad"]
    assert old.name in next(out.folder for out in found.left_out if out.name == "acme")


def test_a_folder_may_be_a_plug_in_itself(tmp_path: Path) -> None:
    folder = make(tmp_path, "here")
    assert [plugin.folder for plugin in find_plugins([folder], shipped=tmp_path / "nothing").plugins] == [folder]


def test_a_digest_is_of_names_and_contents_and_not_of_what_python_leaves(tmp_path: Path) -> None:
    folder = make(tmp_path, "here")
    digest, signature = digest_of(folder), signature_of(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "acme_do.pyc").write_bytes(b"1")
    (folder / ".hidden").write_text("x")
    assert (digest_of(folder), signature_of(folder)) == (digest, signature)
    (folder / "acme_do.py").write_text("x = 2\n")
    assert digest_of(folder) != digest
    assert signature_of(tmp_path / "gone") == ()


def test_a_copy_is_what_was_found_or_it_is_refused(tmp_path: Path) -> None:
    plugin = read_plugin(make(tmp_path, "here"))
    copy_plugin(plugin, tmp_path / "copy")
    assert digest_of(tmp_path / "copy") == plugin.digest
    (plugin.folder / "acme_do.py").write_text("x = 3\n")
    with pytest.raises(ManifestError, match="changed while it was read"):
        copy_plugin(plugin, tmp_path / "copy-2")


def test_too_many_files_are_no_plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "FILES_MAX", 1)
    with pytest.raises(ManifestError, match="more than 1 files"):
        digest_of(make(tmp_path, "here"))


def test_an_installed_distribution_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    package = site / "acme_plugin_for_test"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('it is not run to be found')\n")
    (package / "steps.py").write_text("")
    steps = "[{name: acme.do, module: acme_plugin_for_test.steps}]"
    (package / FILE).write_text(f'name: acme\nversion: "1"\nsteps: {steps}\n')
    info = site / "acme_plugin_for_test-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-plugin-for-test\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[doai.plugins]\nacme = acme_plugin_for_test\nlost = no_such_package\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])
    found = find_plugins(shipped=tmp_path / "nothing")
    [plugin] = [plugin for plugin in found.plugins if plugin.manifest.name == "acme"]
    assert not plugin.is_folder
    assert [(out.name, "leads to no package" in out.reason) for out in found.left_out] == [("lost", True)]
