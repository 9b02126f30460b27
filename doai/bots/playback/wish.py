"""What the playback-bot is asked for: the parameters of a task of kind playback.check (step 14)."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import msgspec

from doai.bots import GiveUp
from doai.messages.commands import TargetKind, Targets

SCHEMES: Final = ("https", "http", "rtsp", "rtsps", "content", "file", "vnd.youtube")
"""Of addresses that players of videos open."""
URL_CHARS_MAX: Final = 2048
VIDEOS_MAX: Final = 50
REPEATS_MAX: Final = 50
WATCH_S_MAX: Final = 600
START_S_MAX: Final = 300
PLAY_EXTRA_S: Final = 30
"""Of a play beside starting and watching: the phone is made ready, a picture is taken, the app is closed."""
CHECK_S_MAX: Final = 3000
"""A task of a bot has an hour; what remains is for phones that are busy with something else."""


class Video(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A video, one's own or test content."""

    url: str
    title: str = ""
    """As the report calls it; empty = by its address."""
    seconds: int | None = None
    """How long it is: it is not watched beyond that. None = longer than `watch_seconds`."""


class PlaybackCheck(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Let phones play videos: each phone plays each video so many times."""

    videos: list[Video] = []
    targets: Targets = Targets(kind=TargetKind.ALL)
    """Phones, as a run names them."""
    repeats: int = 1
    watch_seconds: int = 20
    """Of each video, once it plays."""
    start_within_seconds: int = 30
    """A play that has not begun by then has failed."""
    stalls_max: int | None = None
    """A play with more has failed; None = they are only counted."""
    app: str = "com.google.android.youtube"
    """Package of the app that plays them."""
    queue: str = "default"
    reach_seconds: int = 300
    """A phone that can not begin within this time beside its other plays is left out: its plays expire."""


class Play(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the recipe: a video, for the how many-th time, on every phone."""

    number: int
    """From 0 on, over all of the check."""
    video: Video
    repeat: int
    watch_s: int


def check_wish(wish: PlaybackCheck) -> None:
    """Raise GiveUp with one sentence for what can not be."""
    if not wish.videos:
        raise GiveUp("the check names no video: give `videos`, each with the `url` of your own or test content")
    for number, video in enumerate(wish.videos, 1):
        _check_video(number, video)
    if wish.targets.kind is TargetKind.BOT:
        raise GiveUp("videos play on phones: give `targets` of kind devices, all or any")
    bounds = (
        ("videos", len(wish.videos), VIDEOS_MAX),
        ("repeats", wish.repeats, REPEATS_MAX),
        ("watchSeconds", wish.watch_seconds, WATCH_S_MAX),
        ("startWithinSeconds", wish.start_within_seconds, START_S_MAX),
        ("reachSeconds", wish.reach_seconds, CHECK_S_MAX),
    )
    for name, value, most in bounds:
        if not 1 <= value <= most:
            raise GiveUp(f"{name} is {value}: it must be 1 to {most}")
    if wish.stalls_max is not None and wish.stalls_max < 0:
        raise GiveUp(f"stallsMax is {wish.stalls_max}: give 0 or more, or leave it out to count only")
    longest_s = sum(longest_play_s(wish, play) for play in plays_of(wish))
    if longest_s > CHECK_S_MAX:
        raise GiveUp(
            f"the check can take a phone {longest_s} s, {CHECK_S_MAX} s are the most: make several checks, or "
            "watch for a shorter time"
        )


def _check_video(number: int, video: Video) -> None:
    shown = video.url[:100]
    try:
        parts = urlsplit(video.url)
    except ValueError as error:
        raise GiveUp(f"video {number} has the address {shown!r}, which is none: {error}") from None
    if parts.scheme not in SCHEMES:
        raise GiveUp(
            f"video {number} has the address {shown!r}: it must begin with one of {', '.join(SCHEMES)} and a colon"
        )
    if len(video.url) > URL_CHARS_MAX or any(character.isspace() for character in video.url):
        raise GiveUp(
            f"video {number} has the address {shown!r}: it may have {URL_CHARS_MAX} characters and no spaces"
        )
    if not (parts.netloc or parts.path.strip("/")):
        raise GiveUp(f"video {number} has the address {shown!r}, which names nothing after its scheme")
    if video.seconds is not None and video.seconds < 1:
        raise GiveUp(f"video {number} is {video.seconds} seconds long: give 1 or more, or leave it out")


def plays_of(wish: PlaybackCheck) -> list[Play]:
    """Return all that each phone plays, in order: every video once, then every video again."""
    return [
        Play(
            number=(repeat - 1) * len(wish.videos) + place,
            video=video,
            repeat=repeat,
            watch_s=wish.watch_seconds if video.seconds is None else min(video.seconds, wish.watch_seconds),
        )
        for repeat in range(1, wish.repeats + 1)
        for place, video in enumerate(wish.videos)
    ]


def longest_play_s(wish: PlaybackCheck, play: Play) -> int:
    """Return how long one play can take a phone."""
    return wish.start_within_seconds + play.watch_s + PLAY_EXTRA_S
