"""`bin/docs`: writes the reference and the man pages, and looks for links that lead nowhere (before all steps)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from doai.cli import exits
from doai.cli.manual import manual
from doai.cli.reference import reference
from doai.command_line import CommandLine

ROOT: Final = Path(__file__).resolve().parents[2]
REFERENCE: Final = Path("docs/reference")
_LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_FENCE: Final = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
_HEADING: Final = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)


def stale(root: Path) -> list[str]:
    """Return one sentence for each reference page that is missing or other than the code."""
    found = []
    for name, text in reference().items():
        path = root / REFERENCE / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            found.append(f"{REFERENCE / name} is not what the code means: run bin/docs --write")
    return found


def documents(root: Path) -> list[Path]:
    """Return the documents for people."""
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "proto").glob("*.md")])


def dead_links(paths: Sequence[Path]) -> Iterator[str]:
    """Yield one sentence for each relative link to a file or a heading that is not there."""
    for path in paths:
        text = _FENCE.sub("", path.read_text(encoding="utf-8"))
        for match in _LINK.finditer(text):
            target = match[1] or match[2]
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            name, _, anchor = target.partition("#")
            there = (path.parent / name) if name else path
            if not there.exists():
                yield f"{path}: the link {target} leads to no file"
            elif anchor and there.suffix == ".md" and anchor not in anchors(there.read_text(encoding="utf-8")):
                yield f"{path}: there is no heading for {target}"


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    all_of_them = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = found[anchor] = found.get(anchor, -1) + 1
        all_of_them.add(anchor if count == 0 else f"{anchor}-{count}")
    return all_of_them


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code."""
    parser = CommandLine(prog="docs", description="Check the documents, or write what is generated.")
    parser.add_argument("--write", action="store_true", help="write docs/reference")
    parser.add_argument("--man", type=Path, metavar="FOLDER", help="write the man pages there")
    options = parser.parse_args(argv)
    if options.write:
        _write(ROOT / REFERENCE, reference())
    if options.man:
        _write(options.man, manual())
    problems = [*stale(ROOT), *dead_links(documents(ROOT))]
    print("\n".join(problems) if problems else f"{len(documents(ROOT))} documents are current, no link is dead.")
    return exits.NOT_PASSED if problems else exits.PASSED


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
