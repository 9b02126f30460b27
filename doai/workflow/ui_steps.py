"""Steps that touch the screen longer, move it, or look at all of it, as data (steps 2 and 8)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from doai.workflow.step_type import (
    Arguments,
    ArtifactName,
    Duration,
    Outputs,
    Percent,
    Position,
    StepType,
    Target,
    Text,
    on_device,
)

Direction = Literal["up", "down", "left", "right"]


class LongPress(Target, frozen=True, kw_only=True):
    """Hold a finger on an element, or on a position."""

    x: Position | None = None
    y: Position | None = None
    within: Duration = "10s"
    """How long to look for the element."""
    hold: Duration = "1s"
    """Android takes half a second for a long press."""


class PressOutputs(Outputs, frozen=True, kw_only=True):
    x: int
    y: int


class Swipe(Target, frozen=True, kw_only=True):
    """Move a finger over the screen: in a direction, over an element or the whole; or from place to place."""

    direction: Direction | None = None
    """Where the finger goes; what is below comes into sight with ``up``."""
    distance: Percent = "50%"
    """Of the element's, or the screen's, height or width; the way is in its middle."""
    x: Position | None = None
    y: Position | None = None
    to_x: Position | None = None
    to_y: Position | None = None
    within: Duration = "10s"
    """How long to look for the element."""
    duration: Duration = "400ms"
    """Shorter throws the content, longer moves it."""


class SwipeOutputs(Outputs, frozen=True, kw_only=True):
    x: int
    y: int
    to_x: int
    to_y: int


class ScrollTo(Target, frozen=True, kw_only=True):
    """Scroll until an element is on the screen; ends when there is nothing more to scroll."""

    direction: Direction = "down"
    """Where to look: ``down`` is further down on the page."""
    inside: Text | None = None
    """Resource id of what scrolls; None = the middle of the screen."""
    swipes_max: Annotated[int, Meta(ge=1, le=100)] = 20


class ScrollOutputs(Outputs, frozen=True, kw_only=True):
    text: str
    bounds: list[int]
    """left, top, right, bottom in pixels."""
    swipes: int


class AssertAbsent(Target, frozen=True, kw_only=True):
    """Fail while an element is on the screen."""

    within: Duration = "0s"
    """How long it may take to go away; 0s = one look."""
    every: Duration = "500ms"


class AbsentOutputs(Outputs, frozen=True, kw_only=True):
    waited_ms: int


class Dump(Arguments, frozen=True, kw_only=True):
    """Keep all elements of the screen as an artifact, in uiautomator's XML."""

    name: ArtifactName | None = None


class DumpOutputs(Outputs, frozen=True, kw_only=True):
    artifact: str
    """Reference for artifact.upload."""
    elements: int
    size_bytes: int
    sha256: str


UI_STEPS: Final[tuple[StepType, ...]] = (
    on_device("ui.long_press", LongPress, PressOutputs, idempotent=False),
    on_device("ui.swipe", Swipe, SwipeOutputs, idempotent=False),
    on_device("ui.scroll_to", ScrollTo, ScrollOutputs, idempotent=True),
    on_device("ui.assert_absent", AssertAbsent, AbsentOutputs, idempotent=True),
    on_device("ui.dump", Dump, DumpOutputs, idempotent=True, takes_pictures=True),
)
