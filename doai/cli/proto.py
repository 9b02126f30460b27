"""`bin/proto`: says whether `proto/` is what the code means, or writes it (all steps)."""

from __future__ import annotations

import sys
from pathlib import Path

from doai.command_line import CommandLine
from doai.messages.contract import contract

ROOT = Path(__file__).resolve().parents[2] / "proto"


def differences(root: Path) -> list[str]:
    """Return one sentence for each file of `proto/` that is missing, stale or left over."""
    wanted = contract()
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    missing = [f"{name} is missing" for name in wanted if name not in found]
    stale = [f"{name} is stale" for name in wanted if name in found and found[name].read_text() != wanted[name]]
    return missing + stale + [f"{name} is left over" for name in found if name not in wanted]


def main(argv: list[str] | None = None) -> int:
    """Run the program; returns its exit code."""
    parser = CommandLine(prog="proto", description="Check proto/ against the code, or write it.")
    parser.add_argument("--write", action="store_true", help="write the files")
    options = parser.parse_args(argv)
    if options.write:
        wanted = contract()
        for path in [path for path in ROOT.rglob("*") if path.is_file()]:
            if path.relative_to(ROOT).as_posix() not in wanted:
                path.unlink()
        for name, content in wanted.items():
            path = ROOT / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    problems = differences(ROOT)
    for problem in problems:
        print(f"proto/{problem}: run bin/proto --write")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
