"""What a play was: start-up, stalls and their length, from reports of its media session, pure (step 8).

A report says that at ``updated_ms`` of the phone's clock the video was at ``position_ms``. While a video plays,
an app either reports anew all the time or says nothing until something changes; both come to the same: between
two reports that it plays the position grows as the phone's clock does, and what it grew less was lost by stalls.
So their length is exact however seldom one looks, and a stall that begins and ends between two looks is found by
what it cost. How many there were is exact while looks are nearer to each other than stalls are: several between
two looks are one.
"""

from __future__ import annotations

import re
from typing import Final

from doai.node.steps.media_session import MediaSession, Playback

STALL_MS_MIN: Final = 250.0
"""What a play loses unseen between two looks counts as a stall from here on: apps report positions to some tens of
ms, and nobody sees less. A stall that the app itself reports counts however short it is."""
_WAITS: Final = frozenset({Playback.BUFFERING, Playback.CONNECTING})
_LAYER: Final = re.compile(r"^\+ \S+ \((.+)\)")
_BUFFER: Final = re.compile(r"\bactiveBuffer=\[ *(\d+)x *(\d+):")


def began_at_s(session: MediaSession, now_s: float, before_s: float) -> float:
    """Return when playback began that a look at ``now_s`` sees first, and a look at ``before_s`` did not see.

    A position that is no older than the look before says it to the ms; one that is (the app went on where it was
    left) says nothing, and it counts from now.
    """
    since_s = now_s - max(0, session.position_ms) / 1000
    return since_s if since_s >= before_s else now_s


class Play:
    """Adds up one play, from its first report that it plays on. Times of looks are monotonic seconds."""

    def __init__(self, session: MediaSession, now_s: float, begun_s: float | None = None) -> None:
        """``begun_s``: when it began to play (`began_at_s`); None = now."""
        self.last = session
        self.stalls = 0
        self.stalled_ms = 0.0
        self.paused_ms = 0.0
        self._begun_s = now_s if begun_s is None else begun_s
        self._seen_s = now_s
        self._anchor = session
        """The last report that it plays."""
        self._waited_ms = 0.0
        """Seen to wait since the anchor."""
        self._paused = False
        """Or ended, or in an error, since the anchor."""
        self._waits = False
        self._lost_unseen = False
        """Between the anchor and the look before it."""

    @property
    def watched_ms(self) -> float:
        """From its beginning to the last look."""
        return (self._seen_s - self._begun_s) * 1000

    @property
    def played_ms(self) -> float:
        """What was watched and neither stalled nor paused."""
        return max(0.0, self.watched_ms - self.stalled_ms - self.paused_ms)

    def see(self, session: MediaSession, now_s: float) -> None:
        """Take what the next look found."""
        passed_ms = (now_s - self._seen_s) * 1000
        stands = session.state is Playback.PLAYING and session.speed == 0.0
        if session.state in _WAITS or stands:
            self.stalls += not self._waits
            # The first look at a stall does not know when it began.
            self._waited_ms += passed_ms if self._waits else 0.0
            self._waits = True
        elif session.state is Playback.PLAYING:
            self._plays(session, passed_ms)
        else:
            self._paused = True
            self.paused_ms += passed_ms
            self._waits = False
        self.last, self._seen_s = session, now_s

    def end(self) -> None:
        """No look follows: a stall that has not ended counts as far as it was seen."""
        if self._waits or self._waited_ms > 0:
            self.stalled_ms += max(self._waited_ms, 0.0 if self._paused else self._lost_ms(self.last) or 0.0)
            self._waits, self._waited_ms = False, 0.0

    def _plays(self, session: MediaSession, passed_ms: float) -> None:
        lost_ms = self._lost_ms(session)
        waited = self._waits or self._waited_ms > 0
        if waited:
            # A pause, or another video, in between hides what was lost: what was seen counts.
            seen_ms = self._waited_ms + (passed_ms if self._waits else 0.0)
            self.stalled_ms += seen_ms if self._paused or lost_ms is None else lost_ms
            self._lost_unseen = False
        elif lost_ms is not None and not self._paused:
            if STALL_MS_MIN > lost_ms > 0 and session.position_ms <= self._anchor.position_ms:
                return  # It stands still: the anchor stays, so that the loss adds up.
            unseen = lost_ms >= STALL_MS_MIN
            self.stalls += unseen and not self._lost_unseen
            self.stalled_ms += lost_ms if unseen else 0.0
            self._lost_unseen = unseen
        self._anchor = session
        self._waited_ms = 0.0
        self._waits = self._paused = False

    def _lost_ms(self, session: MediaSession) -> float | None:
        """Return by how much less the position grew than the phone's time since the anchor; None = it jumped."""
        passed_ms = session.updated_ms - self._anchor.updated_ms
        grown_ms = (session.position_ms - self._anchor.position_ms) / (self._anchor.speed or 1.0)
        if passed_ms < 0 or grown_ms < 0 or grown_ms > passed_ms + STALL_MS_MIN:
            return None
        return max(0.0, passed_ms - grown_ms)


def video_size(layers: str, package: str) -> tuple[int, int] | None:
    """Return width and height of the largest picture in an app's video surface, as `dumpsys SurfaceFlinger` tells.

    Android until 13 writes ``+ BufferStateLayer (SurfaceView[APP/ACTIVITY](BLAST)#71)`` and for it
    ``activeBuffer=[1280x 720:1280,RGBA_8888]``. None where it is not told.
    """
    found: list[tuple[int, int]] = []
    layer = ""
    for line in layers.splitlines():
        if heading := _LAYER.match(line):
            layer = heading[1]
        elif (buffer := _BUFFER.search(line)) and "SurfaceView" in layer and package in layer:
            found.append((int(buffer[1]), int(buffer[2])))
    return max((size for size in found if min(size) > 1), key=lambda size: size[0] * size[1], default=None)
