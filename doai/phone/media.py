"""What plays: one media session whose position advances with time (way of a task: 9)."""

import enum
import zlib

import msgspec

START_BUFFERING_S = 0.6
"""A video begins this long after it was opened: a realistic first buffering, short for tests."""
TITLE_DURATION_MIN_S = 120
TITLE_DURATION_SPAN_S = 480


class PlaybackState(enum.IntEnum):
    """The states that the player takes, with the numbers of android.media.session.PlaybackState."""

    NONE = 0
    STOPPED = 1
    PAUSED = 2
    PLAYING = 3
    BUFFERING = 6


class Playback(msgspec.Struct, frozen=True):
    """The session at one moment."""

    video_id: str
    title: str
    state: PlaybackState
    position_ms: int
    buffered_ms: int
    duration_ms: int
    stalls: int


class Player:
    """A player of one video at a time. Every method takes `now_s`; none reads a clock."""

    def __init__(self, video_id: str, now_s: float) -> None:
        self.video_id = video_id
        self.duration_s = TITLE_DURATION_MIN_S + zlib.crc32(video_id.encode()) % TITLE_DURATION_SPAN_S
        self.stalls = 0
        self._played_s = 0.0
        self._running_from_s = now_s + START_BUFFERING_S
        self._paused = False
        self._stopped = False
        self._stalled_until_s: float | None = None
        self._planned: list[tuple[float, float]] = []

    def playback(self, now_s: float) -> Playback:
        """The session as it is now."""
        self._catch_up(now_s)
        position_s = self._position_s(now_s)
        state = self._state(now_s)
        ahead_s = 0.0 if state is PlaybackState.BUFFERING else 20.0
        return Playback(
            self.video_id,
            f"Video {self.video_id}",
            state,
            round(position_s * 1000),
            round(min(position_s + ahead_s, self.duration_s) * 1000),
            round(self.duration_s * 1000),
            self.stalls,
        )

    def stall(self, now_s: float, duration_s: float | None) -> None:
        """Stops to buffer for some seconds, or until `resume`."""
        self._catch_up(now_s)
        if self._state(now_s) in (PlaybackState.STOPPED, PlaybackState.PAUSED):
            return
        self._hold(now_s)
        self._running_from_s = float("inf") if duration_s is None else now_s + duration_s
        self._stalled_until_s = self._running_from_s
        self.stalls += 1

    def stall_at(self, position_s: float, duration_s: float, now_s: float) -> None:
        """Will stop to buffer when it comes to a position; at once when it is beyond it."""
        self._catch_up(now_s)
        self._planned.append((position_s, duration_s))
        self._planned.sort()

    def resume(self, now_s: float) -> None:
        """Ends a stall."""
        self._catch_up(now_s)
        if self._stalled_until_s is not None and self._running_from_s > now_s:
            self._running_from_s = now_s
        self._stalled_until_s = None

    def pause(self, now_s: float) -> None:
        """Stays at the position."""
        self._catch_up(now_s)
        self._hold(now_s)
        self._paused = True

    def play(self, now_s: float) -> None:
        """Goes on from the position."""
        self._catch_up(now_s)
        if self._paused:
            self._paused = False
            self._running_from_s = max(now_s, self._stalled_until_s or now_s)

    def stop(self, now_s: float) -> None:
        """Ends the session; it can not go on."""
        self._catch_up(now_s)
        self._hold(now_s)
        self._stopped = True

    def _catch_up(self, now_s: float) -> None:
        """Let the planned stalls happen that playback has come to, each at its own time."""
        while self._planned and self._position_s(now_s) >= self._planned[0][0]:
            at_s, duration_s = self._planned.pop(0)
            # Nothing else has happened since: positions grow with time from where they last stood.
            began_s = self._running_from_s + max(0.0, at_s - self._played_s)
            if self._state(began_s) in (PlaybackState.STOPPED, PlaybackState.PAUSED):
                return
            self._hold(began_s)
            self._running_from_s = began_s + duration_s
            self._stalled_until_s = self._running_from_s
            self.stalls += 1

    def _hold(self, now_s: float) -> None:
        self._played_s = self._position_s(now_s)
        self._running_from_s = now_s

    def _position_s(self, now_s: float) -> float:
        if self._paused or self._stopped:
            return self._played_s
        return min(self._played_s + max(0.0, now_s - self._running_from_s), float(self.duration_s))

    def _state(self, now_s: float) -> PlaybackState:
        if self._stopped or self._position_s(now_s) >= self.duration_s:
            return PlaybackState.STOPPED
        if self._paused:
            return PlaybackState.PAUSED
        return PlaybackState.BUFFERING if now_s < self._running_from_s else PlaybackState.PLAYING
