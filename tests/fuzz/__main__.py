"""`python -m tests.fuzz`: what hostile peers take from the others, beyond the processor's time that they use.

Two brokers run. One is asked on and on by a peer that behaves. The attacks go against the other one in one window,
against the one that is asked in the next: the machine has the same to do in both, so the ratio is what they do to
the broker itself. A third window has no attacks. Each round has brokers of its own, and another order.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from tests.fuzz.attacks import ATTACKS, Attack
from tests.fuzz.site import Served, Site, ask_on_and_on, open_site

QUIET: Final = "no attack"
ELSEWHERE: Final = "another is attacked"
HERE: Final = "attacked itself"


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


async def window(
    site: Site, target: Site | None, attacks: Sequence[Attack], seconds: float, seed: int
) -> list[float]:
    """Ask the site for so long while the target is attacked, and return seconds an answer."""
    answers_s: list[float] = []

    async def ask_it() -> None:
        answers_s.extend(await asked(site, seconds))

    async def attack_it(attack: Attack, target: Site) -> None:
        # What outlasts the window is cut off: the next one is not to have it.
        with trio.move_on_after(seconds):
            await attack(target, random.Random(f"{seed}/{attack.__name__}"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_it)
        if target is not None:
            for attack in attacks:
                nursery.start_soon(attack_it, attack, target)
    return answers_s


async def measure_round(
    attacks: Sequence[Attack], seconds: float, seed: int
) -> tuple[dict[str, list[float]], float]:
    """Return the answers of each window, in an order that turns with the seed, and MB the asked broker grew by."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("asked", "other"):
            (Path(folder) / name).mkdir()
        async with open_site(Path(folder) / "asked") as site, open_site(Path(folder) / "other") as other:
            before = site.rss_bytes()
            targets: list[tuple[str, Site | None]] = [(QUIET, None), (ELSEWHERE, other), (HERE, site)]
            if seed % 2:
                targets.reverse()
            found = {name: await window(site, target, attacks, seconds, seed) for name, target in targets}
            return found, (site.rss_bytes() - before) / 1024 / 1024


async def measure(attacks: Sequence[Attack], seconds: float, rounds: int, seed: int) -> None:
    """Print one line a kind of window, of all rounds together, and the median of the rounds' ratios."""
    found: dict[str, list[float]] = {QUIET: [], ELSEWHERE: [], HERE: []}
    ratios: list[float] = []
    grown_mb = 0.0
    for number in range(rounds):
        answers, grown = await measure_round(attacks, seconds, seed + number)
        for name, answers_s in answers.items():
            found[name] += answers_s
        ratios.append(p99_ms(answers[HERE]) / p99_ms(answers[ELSEWHERE]))
        grown_mb = max(grown_mb, grown)
    for name, answers_s in found.items():
        median_ms = sorted(answers_s)[len(answers_s) // 2] * 1000
        print(f"{name:<22}{len(answers_s):>7} answers, p50 {median_ms:.2f} ms, p99 {p99_ms(answers_s):.2f} ms")
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"p99 times {statistics.median(ratios):.2f} (rounds: {each}); memory grew by {grown_mb:.1f} MB at most")


def main() -> int:
    """Measure, or be the process that asks."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=12.0, metavar="S", help="each window (default: 12)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of three windows (default: 3)")
    names = [attack.__name__ for attack in ATTACKS]
    parser.add_argument("--attack", action="append", choices=names, help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--ask", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        endpoint, server_key, data_dir = options.ask
        trio.run(ask, endpoint, server_key, Path(data_dir), options.seconds)
    else:
        attacks = [attack for attack in ATTACKS if attack.__name__ in (options.attack or names)]
        trio.run(measure, attacks, options.seconds, options.rounds, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
