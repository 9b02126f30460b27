"""Media sessions as `dumpsys media_session` reports them, pure (step 8).

Android 9 to 12 write ``state=PlaybackState {state=3, position=1234, ..., speed=1.0, updated=5678, ...}``,
Android 13 and later ``state=PlaybackState {state=PLAYING(3), ...}``. ``position`` is what the app said at
``updated`` (both ms, the latter since boot): between two reports of the app neither changes while playback goes on.
"""

from __future__ import annotations

import enum
import re
from typing import Final

import msgspec


class Playback(enum.IntEnum):
    """The states that matter here, with the numbers of android.media.session.PlaybackState."""

    NONE = 0
    STOPPED = 1
    PAUSED = 2
    PLAYING = 3
    FAST_FORWARDING = 4
    REWINDING = 5
    BUFFERING = 6
    ERROR = 7
    CONNECTING = 8
    SKIPPING_TO_PREVIOUS = 9
    SKIPPING_TO_NEXT = 10
    SKIPPING_TO_QUEUE_ITEM = 11


GOES_ON: Final = frozenset({Playback.PLAYING, Playback.BUFFERING, Playback.CONNECTING})
"""States of playback that nobody has paused or ended."""


class MediaSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session that has a playback state."""

    package: str
    active: bool
    state: Playback
    position_ms: int
    updated_ms: int
    speed: float


_PACKAGE: Final = re.compile(r"^\s*package=(\S+)\s*$")
_ACTIVE: Final = re.compile(r"^\s*active=(true|false)\b")
_STATE: Final = re.compile(
    r"\bstate=PlaybackState \{state=(?:[A-Z_]+\()?(\d+)\)?, position=(-?\d+),.*?\bspeed=(-?[\d.]+), updated=(\d+)"
)
_RANK: Final = {Playback.PLAYING: 0, Playback.BUFFERING: 1, Playback.CONNECTING: 2, Playback.PAUSED: 3}


def parse_sessions(report: str) -> list[MediaSession]:
    """Read the sessions of a report, the most recently used first as Android lists them."""
    sessions: list[MediaSession] = []
    package, active = "", False
    for line in report.splitlines():
        if found := _PACKAGE.match(line):
            package, active = found[1], False
        elif found := _ACTIVE.match(line):
            active = found[1] == "true"
        elif package and (found := _STATE.search(line)):
            number = int(found[1])
            state = Playback(number) if number <= max(Playback) else Playback.NONE
            sessions.append(
                MediaSession(
                    package=package,
                    active=active,
                    state=state,
                    position_ms=int(found[2]),
                    speed=float(found[3]),
                    updated_ms=int(found[4]),
                )
            )
            package = ""
    return sessions


def choose_session(sessions: list[MediaSession], package: str = "") -> MediaSession | None:
    """Return the session to watch, of ``package`` when given: an active one first, then the nearest to playing."""
    wanted = [session for session in sessions if not package or session.package == package]
    return min(wanted, key=lambda session: (not session.active, _RANK.get(session.state, 9)), default=None)


class Watch:
    """Adds up how long playback played and stalled, from reports seen at given times (seconds, monotonic).

    The time between two reports counts as what the later one says. It stalls when the app says that it
    buffers, or says that it plays and its position, reported anew, did not move.
    """

    def __init__(self, session: MediaSession, now_s: float) -> None:
        """Begin with the first report that says it plays."""
        self.last = session
        self.stalls = 0
        self.played_s = 0.0
        self.stalled_s = 0.0
        self._seen_s = now_s
        self._playing = True

    def see(self, session: MediaSession, now_s: float) -> None:
        """Take the next report."""
        playing = session.state is Playback.PLAYING and not self._stands_still(session)
        if playing:
            self.played_s += now_s - self._seen_s
        else:
            self.stalled_s += now_s - self._seen_s
            self.stalls += 1 if self._playing else 0
        self.last, self._seen_s, self._playing = session, now_s, playing

    def _stands_still(self, session: MediaSession) -> bool:
        return session.speed == 0.0 or (
            session.updated_ms > self.last.updated_ms
            and session.position_ms == self.last.position_ms
            and self.last.state is Playback.PLAYING
        )
