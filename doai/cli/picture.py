"""`python -m doai.cli.picture FILE`: the picture of the demo in the README, drawn from a real run (all steps)."""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from doai.cli import exits, show
from doai.cli.demo import wait_for_devices

if TYPE_CHECKING:
    from doai.cli.installation import Installation
    from doai.cli.waiting import Progress

PHONES: Final = 8
SLOTS: Final = 5
"""Fewer than phones, so that the picture shows every state."""
COLUMNS: Final = 118


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo once and write its picture as SVG; returns the exit code."""
    parser = argparse.ArgumentParser(prog="picture", description="Draw the picture of the demo from a real run.")
    parser.add_argument("file", type=Path, help="SVG file to write")
    options = parser.parse_args(argv)
    from doai.cli.installation import Plan
    from doai.cli.up import run_installation

    with tempfile.TemporaryDirectory(prefix="doai-picture-") as folder:
        plan = Plan(
            data_dir=Path(folder), api_port=0, broker_port=0, adb_port=0, usb=False, phones=PHONES, slots=SLOTS
        )

        async def work(installation: Installation) -> int:
            import trio

            svg = await trio.to_thread.run_sync(_draw, installation)
            options.file.write_text(svg, encoding="utf-8")
            return exits.PASSED

        return run_installation(plan, work, quiet=True)


def _draw(installation: Installation) -> str:
    from rich.console import Console

    from doai.cli.client import Client
    from doai.cli.progress import picture, print_result
    from doai.cli.runs import add_run, create_run
    from doai.cli.waiting import wait_for_run

    out = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False)
    seen: list[Progress] = []
    parser = argparse.ArgumentParser()
    add_run(parser)
    with Client(installation.place) as client:
        installation.store_shipped_workflows()
        wait_for_devices(client, PHONES)
        words = ["playback-check", "--on", "all", "--param", "seconds=5"]
        created = create_run(client, parser.parse_args(words))
        result = wait_for_run(client, created["runId"], seen.append)
    # The moment at which the most states are there at once.
    moment = max(seen, key=lambda progress: (len(progress.run["counts"]), progress.ended))
    out.print(f"$ bin/demo --phones {PHONES}", style="bold")
    out.print(picture(moment, height=PHONES + 8))
    out.print()
    print_result(result, out=out)
    out.print(f"run {created['runId']} {result.run['outcome']} in {show.duration(result.seconds)}")
    return out.export_svg(title="doai", unique_id="doai-demo")


if __name__ == "__main__":
    sys.exit(main())
