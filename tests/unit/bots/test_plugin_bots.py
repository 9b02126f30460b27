"""Bots that plug-ins bring: found by their name in the manifest."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from doai.bots.errors import BotError
from doai.bots.loading import load_bot

MANIFEST = """\
name: acme
version: "1"
bots: [{name: acme-guard, module: guard.watch}]
"""


def test_a_bot_of_a_plug_in_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / "acme" / "guard"
    folder.mkdir(parents=True)
    (tmp_path / "acme" / "plugin.yaml").write_text(MANIFEST)
    (folder / "watch.py").write_text("from doai.bots import Bot\n\nbot = Bot('acme-guard')\n")
    assert load_bot("acme-guard", [tmp_path]).name == "acme-guard"
    with pytest.raises(BotError, match="there is no bot 'acme-gaurd'"):
        load_bot("acme-gaurd", [tmp_path])
    with pytest.raises(BotError, match="there is no bot 'acme-guard'"):
        load_bot("acme-guard")
