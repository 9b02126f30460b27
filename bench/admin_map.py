"""How many pictures a second the map of devices has in a browser, while devices change and a pointer moves.

Chromium draws here without a graphics card, beside the admin on the same cores: what a desk has is faster.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from playwright.sync_api import sync_playwright

from bench.report import Line
from doai.admin.sessions import COOKIE
from tests.browser.desk import CHROMIUM

GOAL: Final = 30.0
"""Pictures a second."""
COUNT: Final = """seconds => new Promise(done => {
  const canvas = document.querySelector(".map canvas");
  const box = canvas.getBoundingClientRect();
  const times = [];
  let loads = 0;
  new PerformanceObserver(list => {
    for (const each of list.getEntries()) if (each.name.includes("map.json")) loads++;
  }).observe({ type: "resource" });
  const begun = performance.now();
  const frame = now => {
    times.push(now);
    const n = times.length;
    const at = { clientX: box.left + (n * 7) % box.width, clientY: box.top + (n * 3) % box.height, bubbles: true };
    canvas.dispatchEvent(new MouseEvent("mousemove", at));
    if (now - begun < seconds * 1000 || n < 3) requestAnimationFrame(frame);
    else done({ times, loads });
  };
  requestAnimationFrame(frame);
})"""
"""The pointer moves at each frame, and each move shows the whole map anew."""


def map_lines(url: str, cookie: str, squares: int, seconds: float, change: Callable[[], None]) -> Iterator[Line]:
    """Yield pictures a second of a map of ``squares``; ``change``, called each second, changes some devices."""
    if CHROMIUM is None:
        print(
            "bench admin: the map is NOT measured: there is no Chromium here: apt install chromium", file=sys.stderr
        )
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.set_default_timeout(90_000)
        context.add_cookies([{"name": COOKIE, "value": cookie, "url": url}])
        page = context.new_page()
        page.goto(f"{url}/devices?view=map")
        page.wait_for_selector(f".map[data-squares='{squares}']")
        page.evaluate(f"window.counted = ({COUNT})({seconds})")
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            change()
            page.wait_for_timeout(min(1.0, seconds) * 1000)
        found = page.evaluate("window.counted")
        browser.close()
    times = found["times"]
    took_ms = sorted(after - before for before, after in itertools.pairwise(times))
    rate = 1000 * len(took_ms) / sum(took_ms)
    p95 = took_ms[int(0.95 * len(took_ms))]
    yield Line(name="admin.map.frames", value=round(rate, 1), unit="frames/s", ratio=round(rate / GOAL, 3),
               against=f"goal: {GOAL:g}; {squares} squares shown anew in each, 95 % within {p95:.0f} ms,"
               f" {found['loads']} changes came meanwhile", goal=1.0)  # fmt: skip
