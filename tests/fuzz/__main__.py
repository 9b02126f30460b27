"""`python -m tests.fuzz`: the p99 of a peer that behaves, alone and beside all attacks; and the broker's memory."""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import trio

from tests.fuzz.attacks import ATTACKS
from tests.fuzz.site import Served, Site, ask_on_and_on, open_site


def p99_ms(answers_s: Sequence[float]) -> float:
    """Return the p99 in ms."""
    return sorted(answers_s)[math.ceil(len(answers_s) * 0.99) - 1] * 1000


async def ask(endpoint: str, server_key: str, data_dir: Path, seconds: float) -> None:
    """Ask for so long in a process of its own, or the attacks would take its time; prints seconds an answer."""
    served = Served()
    with trio.move_on_after(seconds):
        await ask_on_and_on(Site(endpoint, server_key, data_dir), served)
    print(json.dumps(served.answers_s))


async def asked(site: Site, seconds: float) -> list[float]:
    """Let such a process ask."""
    words = [sys.executable, "-m", "tests.fuzz", "--ask", site.endpoint, site.server_key, str(site.data_dir)]
    done = await trio.run_process([*words, "--seconds", str(seconds)], capture_stdout=True)
    answers_s: list[float] = json.loads(done.stdout)
    return answers_s


async def measure(seconds: float, seed: int) -> None:
    """Print one line alone, one beside the attacks."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_site(Path(folder)) as site:
            before = site.rss_bytes()
            alone = await asked(site, seconds)
            beside: list[float] = []

            async def ask_beside() -> None:
                beside.extend(await asked(site, seconds))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask_beside)
                for attack in ATTACKS:
                    nursery.start_soon(attack, site, random.Random(f"{seed}/{attack.__name__}"))
            grown_mb = (site.rss_bytes() - before) / 1024 / 1024
    for title, answers_s in (("alone", alone), ("beside the attacks", beside)):
        median_ms = sorted(answers_s)[len(answers_s) // 2] * 1000
        print(f"{title:<20}{len(answers_s):>7} answers, p50 {median_ms:.2f} ms, p99 {p99_ms(answers_s):.2f} ms")
    print(f"p99 times {p99_ms(beside) / p99_ms(alone):.2f}; the broker's memory grew by {grown_mb:.1f} MB")


def main() -> int:
    """Measure, or be the process that asks."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0, metavar="S", help="each part (default: 12)")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--ask", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        endpoint, server_key, data_dir = options.ask
        trio.run(ask, endpoint, server_key, Path(data_dir), options.seconds)
    else:
        trio.run(measure, options.seconds, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
