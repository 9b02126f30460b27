"""Where the steps of an attempt stand, and what its sequences have in common (step 8)."""

from __future__ import annotations

import enum
from typing import Any, Final, Protocol

from doai.errors import ErrorClass, Failure, StepError
from doai.limits import TRIES_PER_ATTEMPT_MAX
from doai.node.core.acts import Act, Cause
from doai.workflow.resolve import PlannedStep


class Progress(enum.Enum):
    WAITING = "waiting"
    RUNNING = "running"
    BACKOFF = "backoff"
    ENDED = "ended"


WAITING: Final = Progress.WAITING
RUNNING: Final = Progress.RUNNING
BACKOFF: Final = Progress.BACKOFF
ENDED: Final = Progress.ENDED
"""By these names, because Python 3.11 finds a member of an enum by a call: 0.2 us, hundreds of times a task."""


class Inside(Protocol):
    """What runs inside of a step that is made of steps, during one try of it. Calls return what follows."""

    @property
    def result(self) -> dict[str, Any] | Failure | None:
        """How it ended: outputs or a failure; None = not yet."""
        ...

    def begin(self, now_s: float) -> list[Act]: ...

    def ended(
        self,
        step_id: str,
        try_number: int,
        result: dict[str, Any] | Failure,
        *,
        unobserved: bool,
        now_s: float,
        random01: float,
    ) -> list[Act]: ...

    def stop(self, cause: Cause, now_s: float) -> list[Act]: ...

    def tick(self, now_s: float) -> list[Act]: ...

    def due_s(self) -> float | None: ...


class Track:
    """Where one step stands."""

    __slots__ = ("began_s", "cancelled", "due_s", "inside", "progress", "step", "tries", "try_number")

    def __init__(self, step: PlannedStep) -> None:
        self.step = step
        self.progress: Progress = WAITING
        self.tries = 0
        """Since what it is inside of began."""
        self.try_number = 0
        """Of all tries of the attempt: a step that is done again in a second try of a call goes on counting."""
        self.began_s = 0.0
        self.due_s = 0.0
        self.cancelled = False
        self.inside: Inside | None = None

    @property
    def ended(self) -> bool:
        return self.progress is ENDED


class Common:
    """What all sequences of an attempt share."""

    __slots__ = ("_begun", "_tries", "act_until_s", "random01", "reported")

    def __init__(self, act_until_s: float) -> None:
        self.act_until_s: float = act_until_s
        """Monotonic time after which nothing of the attempt may begin on the device."""
        self.reported: dict[str, Any] = {}
        self.random01 = 0.5
        """The last random number that was given."""
        self._tries: dict[str, int] = {}
        self._begun = 0

    def next_try(self, path: str) -> int:
        """Return the number of the next try of a step, never given before in this attempt."""
        self._tries[path] = number = self._tries.get(path, 0) + 1
        return number

    def take_room(self) -> None:
        """Count a step, also one that is skipped; raises StepError when the attempt has had as many as it may."""
        self._begun += 1
        if self._begun > TRIES_PER_ATTEMPT_MAX:
            raise StepError(
                Failure(
                    error_class=ErrorClass.USER,
                    code="too_many_steps",
                    message=f"The task has begun {TRIES_PER_ATTEMPT_MAX} steps and may begin no more: "
                    "let its loops make fewer rounds.",
                )
            )


class Place:
    """Where a sequence stands in its attempt."""

    __slots__ = ("common", "depth", "outputs", "prefix", "timeout")

    def __init__(
        self,
        common: Common,
        *,
        prefix: str = "",
        depth: int = 0,
        outputs: dict[str, dict[str, Any]] | None = None,
        timeout: Failure,
    ) -> None:
        """``outputs`` are those of the steps around it; ``timeout`` is its failure when its time is over."""
        self.common = common
        self.prefix = prefix
        """Before the ids of its steps: ``login/``, ``loop[2]/``."""
        self.depth = depth
        """0 = the attempt itself."""
        self.outputs = {} if outputs is None else outputs
        self.timeout = timeout

    def grace_until_s(self, now_s: float, grace_s: float) -> float:
        """Return when a grace ends that begins now: inside of a step it is half of the one around it."""
        return min(now_s + grace_s * 0.5**self.depth, self.common.act_until_s)

    def inside(self, prefix: str, outputs: dict[str, dict[str, Any]], timeout: Failure) -> Place:
        """Return the place of what is inside a step."""
        return Place(self.common, prefix=prefix, depth=self.depth + 1, outputs=outputs, timeout=timeout)


def shows(picture: PlannedStep, other: PlannedStep) -> bool:
    """Whether one step would take a picture of what the other must not show."""
    return picture.takes_pictures and other.sensitive


def cancellable(tracks: list[Track]) -> bool:
    """Whether a cancel would end something."""
    return any(not track.ended and not track.cancelled for track in tracks)
