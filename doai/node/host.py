"""Numbers of the host from /proc: processor, memory, and this process (step 11: heartbeats).

Formats: proc(5), `/proc/stat` (first line, in clock ticks), `/proc/meminfo` (kB), `/proc/self/statm` (pages).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from doai.node.core.effects import HostNumbers

_IDLE: Final = slice(3, 5)
"""idle and iowait among user, nice, system, idle, iowait, irq, softirq, steal; guest time is in user already."""
_COUNTED: Final = 8


class HostMeter:
    """Each reading tells the share of the processors used since the one before."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self._total, self._idle = self._ticks()

    def read(self) -> HostNumbers:
        """Return the numbers now; 0 for what the host does not tell."""
        total, idle = self._ticks()
        passed = total - self._total
        busy = passed - (idle - self._idle)
        self._total, self._idle = total, idle
        return HostNumbers(
            cpu_percent=round(100.0 * busy / passed, 1) if passed > 0 else 0.0,
            memory_percent=self._memory_percent(),
            rss_bytes=self._rss_bytes(),
        )

    def _ticks(self) -> tuple[int, int]:
        words = self._text("stat").partition("\n")[0].split()[1 : 1 + _COUNTED]
        ticks = [int(word) for word in words if word.isdecimal()]
        return sum(ticks), sum(ticks[_IDLE])

    def _memory_percent(self) -> float:
        found = dict.fromkeys(("MemTotal", "MemAvailable"), 0)
        for line in self._text("meminfo").splitlines():
            name, _, rest = line.partition(":")
            words = rest.split()
            if name in found and words and words[0].isdecimal():
                found[name] = int(words[0])
        total = found["MemTotal"]
        return round(100.0 * (total - found["MemAvailable"]) / total, 1) if total else 0.0

    def _rss_bytes(self) -> int:
        words = self._text("self/statm").split()
        return int(words[1]) * self._page_bytes if len(words) > 1 and words[1].isdecimal() else 0

    def _text(self, name: str) -> str:
        try:
            return (self._proc / name).read_text(encoding="ascii", errors="replace")
        except OSError:
            return ""
