"""`bin/powercuts`: power cuts for the broker's store and the node's outbox; exit 0 only when nothing is lost."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from doai.command_line import CommandLine
from tests.power.campaign import run_campaign, table
from tests.power.subjects import SUBJECTS


def main(argv: Sequence[str] | None = None) -> int:
    """Run the campaigns; returns 1 when FULL lost or damaged something, or the weak settings did not."""
    parser = CommandLine(prog="powercuts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=400, metavar="N", help="cuts a file and setting (default: 400)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="the same seed cuts at the same places")
    options = parser.parse_args(argv)
    if options.cuts < 1:
        parser.error("give at least one cut")
    started = time.monotonic()
    reports = [
        run_campaign(subject, cuts=options.cuts, seed=options.seed, synchronous=synchronous)
        for subject in SUBJECTS
        for synchronous in ("FULL", "NORMAL", "OFF")
    ]
    print(table(reports))
    print(f"{time.monotonic() - started:.1f} s, seed {options.seed}")
    wrong = []
    for report in reports:
        bad = report.lost + report.corrupt + report.other
        if report.synchronous == "FULL" and bad:
            wrong.append(f"{report.subject}: {report.first_bad}")
        elif report.synchronous != "FULL" and not bad:
            wrong.append(f"{report.subject}, {report.synchronous}: nothing was lost, so this proves nothing")
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
