"""`python -m tests.api`: every operation of the API with made-up values, for as long as one likes."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.api.everything import fill, try_everything
from tests.integration.installed import up


def main() -> int:
    """Print what came of it; exit code 1 when an answer says that the fault is ours."""
    parser = argparse.ArgumentParser(prog="python -m tests.api", description=__doc__)
    parser.add_argument(
        "--examples", type=int, default=50, help="right values for each operation, and as many wrong ones"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the same seed makes the same values")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, up(Path(folder) / "data", phones=1) as site:
        site.wait_for_phones(1)
        tried = try_everything(site, fill(site), examples=options.examples, seed_number=options.seed)
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(tried.statuses.items()))
    print(f"seed {options.seed}: {len(tried.operations)} operations, {tried.statuses.total()} calls ({statuses})")
    for label, failure in sorted(tried.failures.items()):
        print(f"\n{label}\n  {failure}")
    return 1 if tried.failures else 0


if __name__ == "__main__":
    sys.exit(main())
