"""The reference is what the code means, man pages are roff, and no link in a document is dead."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from doai.cli.docs import ROOT, anchors, dead_links, documents, stale
from doai.cli.manual import escape, manual
from doai.cli.reference import reference


def test_the_pages_are_current() -> None:
    assert stale(ROOT) == []


def test_a_page_that_is_missing_or_stale_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "docs/reference"
    folder.mkdir(parents=True)
    (folder / "cli.md").write_text("old\n")
    assert len(stale(tmp_path)) == len(reference())
    assert "docs/reference/cli.md is not what the code means: run bin/docs --write" in stale(tmp_path)


def test_nothing_of_this_machine_is_in_them() -> None:
    for text in [*reference().values(), *manual().values()]:
        assert str(ROOT) not in text
        assert str(Path.home()) not in text


def test_no_link_is_dead() -> None:
    assert list(dead_links(documents(ROOT))) == []


def test_no_link_is_dead_in_a_copy_of_what_is_published(tmp_path: Path) -> None:
    """A link to a file that only this folder has is dead for everybody else."""
    if not (ROOT / ".git").exists():
        pytest.skip("SKIPPED LOUDLY: this is no checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).symlink_to(ROOT / name)
    assert len(documents(tmp_path)) == len(documents(ROOT)) > 20
    assert list(dead_links(documents(tmp_path))) == []


def test_dead_links_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# One\n[x](b.md) [y](a.md#two) [z](#one) [w](https://x/y) ![p](p.png)\n")
    found = list(dead_links([tmp_path / "a.md"]))
    assert [sentence.partition(": ")[2] for sentence in found] == [
        "the link b.md leads to no file",
        "there is no heading for a.md#two",
        "the link p.png leads to no file",
    ]


def test_anchors_are_those_of_the_web_page() -> None:
    text = "# A `code` word!\n## 한국어 제목\n## Twice\n## Twice\n```sh\n# no heading\n```\n"
    assert anchors(text) == {"a-code-word", "한국어-제목", "twice", "twice-1"}


def test_every_program_has_a_man_page() -> None:
    pages = manual()
    assert set(pages) == {"doai.1", "doai-broker.1", "doai-node.1", "doai-bot.1", "doai-admin.1"}
    for text in pages.values():
        assert re.match(r"\.TH \S+ 1 ", text)
        known = (".TH", ".SH", ".SS", ".TP", ".B", ".I")
        assert all(line.startswith(known) for line in text.splitlines() if line.startswith((".", "'")))


@pytest.mark.skipif(shutil.which("man") is None, reason="there is no man here")
def test_man_shows_the_pages_without_a_complaint(tmp_path: Path) -> None:
    for name, text in manual().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        done = subprocess.run(
            ["man", "--warnings", "-l", "-P", "cat", str(tmp_path / name)],
            capture_output=True, text=True, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "MANWIDTH": "200"},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")


def test_text_is_shown_as_it_is() -> None:
    assert escape(".toml file\\x --flag") == "\\&.toml file\\ex \\-\\-flag"
