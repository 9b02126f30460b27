"""Which step of a sequence may start now (step 8)."""

from __future__ import annotations

from collections.abc import Mapping

from doai.node.core.tracks import BACKOFF, ENDED, RUNNING, WAITING, Track, shows
from doai.workflow.resolve import PlannedStep


class Unended:
    """The main steps in file order, without the first ones that have ended: most recipes are done in this order."""

    __slots__ = ("_first", "_tracks")

    def __init__(self, tracks: list[Track]) -> None:
        self._tracks = tracks
        self._first = 0

    def left(self) -> list[Track]:
        """Return the steps from the first on that has not ended; none when all have."""
        tracks, first = self._tracks, self._first
        while first < len(tracks) and tracks[first].progress is ENDED:
            first += 1
        self._first = first
        return tracks[first:]


def next_ready(left: list[Track], by_id: Mapping[str, Track], now_s: float) -> Track | None:
    """Return the first of these steps that may start; None = there is none now.

    A device does one step at a time, and what waits for its next try keeps it.
    """
    # Plain loops: this is asked twice a step, mostly of steps of which none is open.
    opened: list[PlannedStep] = []
    busy = False
    for track in left:
        if track.progress is RUNNING or track.progress is BACKOFF:
            opened.append(track.step)
            busy = busy or track.step.on_device
    for track in left:
        progress = track.progress
        if progress is BACKOFF:
            if track.due_s <= now_s:
                return track
        elif progress is WAITING and not (busy and track.step.on_device) and _may_start(track, opened, by_id):
            return track
    return None


def _may_start(track: Track, opened: list[PlannedStep], by_id: Mapping[str, Track]) -> bool:
    step = track.step
    for other in opened:
        if shows(step, other) or shows(other, step):
            return False
    for need in step.predecessors:  # noqa: SIM110 - see above
        if by_id[need].progress is not ENDED:
            return False
    return True
