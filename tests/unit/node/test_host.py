"""Numbers of the host from files as proc(5) describes them."""

from __future__ import annotations

import os
from pathlib import Path

from doai.node.host import HostMeter


def write(folder: Path, *, stat: str, meminfo: str = "", statm: str = "") -> None:
    (folder / "self").mkdir(exist_ok=True)
    (folder / "stat").write_text(stat)
    (folder / "meminfo").write_text(meminfo)
    (folder / "self" / "statm").write_text(statm)


def test_shares_since_the_reading_before(tmp_path: Path) -> None:
    write(tmp_path, stat="cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3\n")
    meter = HostMeter(tmp_path)
    write(
        tmp_path,
        stat="cpu  130 0 110 750 110 0 0 0 70 0\ncpu0 1 2 3\n",
        meminfo="MemTotal:       1000 kB\nMemFree: 10 kB\nMemAvailable:    250 kB\n",
        statm="500 300 100 1 0 200 0\n",
    )
    numbers = meter.read()
    assert numbers.cpu_percent == 40.0
    assert numbers.memory_percent == 75.0
    assert numbers.rss_bytes == 300 * os.sysconf("SC_PAGE_SIZE")
    assert meter.read().cpu_percent == 0.0


def test_a_host_that_tells_nothing(tmp_path: Path) -> None:
    numbers = HostMeter(tmp_path / "none").read()
    assert (numbers.cpu_percent, numbers.memory_percent, numbers.rss_bytes) == (0.0, 0.0, 0)


def test_this_host() -> None:
    numbers = HostMeter().read()
    assert 0.0 <= numbers.cpu_percent <= 100.0
    assert numbers.memory_percent > 0.0
    assert numbers.rss_bytes > 0
