"""Builders of the widgets that the phone's own apps are made of (way of a task: 9)."""

from collections.abc import Mapping

import msgspec

from doai.phone.widgets import Bounds, Widget

STATUS_BAR_PX = 24
KEYBOARD_PX = 220
MARGIN_PX = 24

WHITE, BLACK, GREY, BLUE, RED, GREEN, DARK, PALE = range(8)
"""Indexes of the picture's palette (doai.phone.picture)."""


class Frame(msgspec.Struct, frozen=True):
    """The room an app has to draw in, in pixels."""

    width_px: int
    height_px: int

    @property
    def whole(self) -> Bounds:
        """All of the display."""
        return Bounds(0, 0, self.width_px, self.height_px)

    def row(self, top_px: int, height_px: int) -> Bounds:
        """A row across the display, inside the margins."""
        return Bounds(MARGIN_PX, top_px, self.width_px - MARGIN_PX, top_px + height_px)


def page(frame: Frame, children: list[Widget], fill: int = WHITE) -> Widget:
    """The root of a screen."""
    return Widget("FrameLayout", frame.whole, fill=fill, children=tuple(children))


def label(bounds: Bounds, text: str, resource_id: str = "", ink: int = BLACK) -> Widget:
    """Text that does nothing when tapped."""
    return Widget("TextView", bounds, text=text, resource_id=resource_id, ink=ink)


def shade(frame: Frame, notifications: Mapping[str, tuple[str, str]]) -> Widget:
    """The notification shade over everything: the title of each notification, its text below."""
    rows: list[Widget] = []
    for number, (title, text) in enumerate(notifications.values()):
        top_px = STATUS_BAR_PX + MARGIN_PX + number * 90
        rows += [label(frame.row(top_px, 40), title, "android:id/title")]
        rows += [label(frame.row(top_px + 40, 40), text, "android:id/big_text", DARK)]
    return page(frame, rows or [label(frame.row(STATUS_BAR_PX + MARGIN_PX, 40), "No notifications")], PALE)


def button(bounds: Bounds, text: str, resource_id: str, action: str, desc: str = "") -> Widget:
    """A filled button."""
    return Widget("Button", bounds, text, resource_id, desc, action, fill=BLUE, ink=WHITE)


def field(
    bounds: Bounds, text: str, resource_id: str, *, hint: str, focused: bool, password: bool = False
) -> Widget:
    """A field for text; a tap on it gives it the focus (the action is `focus:<resource id>`)."""
    return Widget(
        "EditText",
        bounds,
        text,
        resource_id,
        hint,
        f"focus:{resource_id}",
        password=password,
        focused=focused,
        fill=PALE,
    )


def keyboard_bounds(frame: Frame) -> Bounds:
    """Where the keyboard lies over the app while it is shown."""
    return Bounds(0, frame.height_px - KEYBOARD_PX, frame.width_px, frame.height_px)
