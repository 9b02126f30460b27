"""screen.compare as data: what a screen is compared with, and what of it does not count (steps 2 and 8)."""

from __future__ import annotations

import re
from typing import Annotated, Final

from msgspec import Meta

from doai.workflow.step_type import (
    Arguments,
    ArtifactName,
    BaselineReference,
    Duration,
    Outputs,
    Percent,
    Position,
    StepType,
    on_device,
)

BASELINE_FAMILY: Final = "baseline/{workflow}/{step}/*"
"""Names of the baselines of a step; see `baseline_name`."""
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")
_MODEL_CHARACTERS_MAX: Final = 80


class Mask(Arguments, frozen=True, kw_only=True):
    """A rectangle of the screen that is not compared, in pixels or as a share ("4%") of its width or height."""

    x: Position = 0
    """Left edge."""
    y: Position = 0
    """Upper edge."""
    width: Position = "100%"
    height: Position = "100%"


class Compare(Arguments, frozen=True, kw_only=True):
    """Compare the screen with a baseline, a picture of it that a person found right."""

    baseline: BaselineReference | None = None
    """A stored picture; None = the one of this step for screens of this model and size, which
    `doai baseline accept` stores."""
    masks: Annotated[list[Mask], Meta(max_length=100)] = []
    """What is different each time, such as the clock: rectangles of `x`, `y`, `width` and `height`, in pixels or as
    a share ("4%") of the screen; what is left out reaches to the edge."""
    tolerance: Percent = "0%"
    """How many of the compared pixels may differ."""
    colour_tolerance: Annotated[int, Meta(ge=0, le=254)] = 8
    """How far red, green or blue of a pixel may differ (of 255) without that it does."""
    within: Duration = "0s"
    """How long the screen may take to look like that; 0s = one look."""
    every: Duration = "500ms"
    name: ArtifactName | None = None
    """For the pictures; None = the step's id."""


class CompareOutputs(Outputs, frozen=True, kw_only=True):
    artifact: str
    """The picture of the screen: reference for artifact.upload."""
    baseline: str
    """``name@version`` of what it was compared with."""
    width: int
    height: int
    pixels: int
    """Compared; masked ones are not."""
    differing_pixels: int
    differing_percent: float
    waited_ms: int


def baseline_name(recipe: str, step_id: str, model: str, width: int, height: int) -> str:
    """Return the name of the baseline of a step for a screen: ``baseline/login/home/Pixel-7-1080x2400``.

    ``step_id`` is the step's own, without those around it.
    """
    family = BASELINE_FAMILY.format(workflow=recipe, step=step_id)
    named = _NOT_IN_NAMES.sub("-", model)[:_MODEL_CHARACTERS_MAX].strip("-._") or "unknown"
    return family.replace("*", f"{named}-{width}x{height}")


SCREEN_STEPS: Final[tuple[StepType, ...]] = (
    on_device(
        "screen.compare",
        Compare,
        CompareOutputs,
        idempotent=True,
        takes_pictures=True,
        files=(BASELINE_FAMILY,),
    ),
)
