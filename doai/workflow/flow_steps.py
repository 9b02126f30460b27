"""Steps that are made of steps, as data: loops, and calls of other workflows (steps 2 and 8).

No function performs them: the node's core does (doai/node/core/rounds.py, sequence.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

from doai.limits import LOOP_ROUNDS_MAX
from doai.workflow.language import Step
from doai.workflow.step_type import Arguments, Duration, NoOutputs, Outputs, StepType

REPEAT: Final = "flow.repeat"
UNTIL: Final = "flow.until"
CALL: Final = "workflow.call"
LOOPS: Final = frozenset({REPEAT, UNTIL})
FLOW_TIMEOUT_S: Final = 7 * 24 * 3600.0
"""The steps inside have timeouts of their own, and the task has: unless said, these are what ends a loop."""
REFERENCE_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]{0,62}(@[1-9][0-9]{0,8})?$(?!\n)"


class Repeat(Arguments, frozen=True, kw_only=True):
    """Do the steps again and again: so many times, or for so long, whichever ends first."""

    times: Annotated[int, Meta(ge=1, le=LOOP_ROUNDS_MAX)] | None = None
    within: Duration | None = None
    """No round begins after this; one that runs goes on to its end."""
    pause: Duration = "0s"
    """Between two rounds."""


class Until(Repeat, frozen=True, kw_only=True):
    """Do the steps again until a condition holds; it fails when a bound is reached before."""

    pause: Duration = "1s"


class LoopOutputs(Outputs, frozen=True, kw_only=True):
    rounds: int
    """That ended."""
    met: bool
    """Whether the condition holds."""
    last: dict[str, Any]
    """Outputs of the steps of the last round, by step id."""


class Call(Arguments, frozen=True, kw_only=True):
    """Do the steps of another workflow. Its version is decided when the run is made, and pinned in it."""

    workflow: Annotated[str, Meta(pattern=REFERENCE_PATTERN)]
    """``name@version``, or ``name`` for the newest active one."""
    params: dict[str, Any] = {}


def _flow(name: str, arguments: type[Arguments], outputs: type[Outputs]) -> StepType:
    return StepType(
        name=name,
        arguments=arguments,
        outputs=outputs,
        on_device=False,
        idempotent=True,
        timeout_s=FLOW_TIMEOUT_S,
        holds_device=False,
        nests=True,
    )


FLOW_STEPS: Final = (
    _flow(REPEAT, Repeat, LoopOutputs),
    _flow(UNTIL, Until, LoopOutputs),
    _flow(CALL, Call, NoOutputs),
)


def called_by(step: Step) -> str | None:
    """Return the workflow that a step names to be called, None when it calls none."""
    name = step.with_.get("workflow") if step.use == CALL else None
    return name if isinstance(name, str) else None
