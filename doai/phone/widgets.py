"""Widgets: what a screen is made of, where a tap lands, and their XML (way of a task: 9)."""

from collections.abc import Iterator
from xml.sax.saxutils import quoteattr

import msgspec


class Bounds(msgspec.Struct, frozen=True):
    """A rectangle in pixels; left and top belong to it, right and bottom do not."""

    left: int
    top: int
    right: int
    bottom: int

    def holds(self, x: int, y: int) -> bool:
        """Whether the point is inside."""
        return self.left <= x < self.right and self.top <= y < self.bottom

    def __str__(self) -> str:
        return f"[{self.left},{self.top}][{self.right},{self.bottom}]"


class Widget(msgspec.Struct, frozen=True):
    """One node of the UI tree.

    `kind` is the short class name (`Button`); `action` is what a tap on it asks its app to do ("" = nothing);
    `fill` is the palette index of its background in the picture (None: see-through).
    """

    kind: str
    bounds: Bounds
    text: str = ""
    resource_id: str = ""
    desc: str = ""
    action: str = ""
    password: bool = False
    focused: bool = False
    enabled: bool = True
    fill: int | None = None
    ink: int = 1
    children: tuple["Widget", ...] = ()

    @property
    def class_name(self) -> str:
        """The class as uiautomator names it."""
        package = "android.view" if self.kind in ("View", "SurfaceView") else "android.widget"
        return f"{package}.{self.kind}"

    @property
    def shown_text(self) -> str:
        """What can be read on the screen: a password shows as dots."""
        return "\u2022" * len(self.text) if self.password else self.text


class Screen(msgspec.Struct, frozen=True):
    """What an activity shows now."""

    package: str
    activity: str
    root: Widget


def walk(widget: Widget) -> Iterator[Widget]:
    """The widget and all below it, in drawing order."""
    yield widget
    for child in widget.children:
        yield from walk(child)


def widget_at(root: Widget, x: int, y: int) -> Widget | None:
    """The topmost enabled widget under the point that does something when tapped; None if there is none."""
    found = None
    for widget in walk(root):
        if widget.action and widget.enabled and widget.bounds.holds(x, y):
            found = widget
    return found


def hierarchy_xml(screen: Screen, rotation: int = 0) -> str:
    """The screen as `uiautomator dump` writes it."""
    body = _node_xml(screen.root, 0, screen.package)
    head = "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>"
    return f'{head}<hierarchy rotation="{rotation}">{body}</hierarchy>'


def _node_xml(widget: Widget, index: int, package: str) -> str:
    editable = widget.kind == "EditText"
    attributes: dict[str, object] = {
        "index": index,
        "text": widget.shown_text,
        "resource-id": widget.resource_id,
        "class": widget.class_name,
        "package": package,
        "content-desc": widget.desc,
        "checkable": False,
        "checked": False,
        "clickable": bool(widget.action),
        "enabled": widget.enabled,
        "focusable": bool(widget.action),
        "focused": widget.focused,
        "scrollable": False,
        "long-clickable": editable,
        "password": widget.password,
        "selected": False,
        "bounds": widget.bounds,
    }
    pairs = " ".join(f"{name}={_attribute(value)}" for name, value in attributes.items())
    children = "".join(_node_xml(child, at, package) for at, child in enumerate(widget.children))
    return f"<node {pairs}>{children}</node>" if children else f"<node {pairs} />"


def _attribute(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    quoted = quoteattr(text)
    # Android's serializer always uses double quotes; quoteattr changes to single ones around a double quote.
    return quoted if quoted.startswith('"') else '"' + quoted[1:-1].replace('"', "&quot;") + '"'
