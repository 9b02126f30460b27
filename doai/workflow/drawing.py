"""The graph of a workflow as an SVG picture that needs nothing else (step 14). Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

# Only its writer is used here: nothing is read that others wrote.
from xml.etree import ElementTree as Xml

from doai.workflow.graph import Graph, build_graph
from doai.workflow.language import Step, Workflow, text_of
from doai.workflow.layers import Layout, Place, arrange

_MARGIN: Final = 24.0
_BOX_HEIGHT: Final = 58.0
_GAP: Final = (28.0, 34.0)
_PADDING: Final = 16.0
_ADVANCE: Final = 7.4
"""Width of a letter at 13 px, generously; wide characters (Korean) have twice that."""
_CHARACTERS_MAX: Final = 44
_HEADING: Final = 34.0
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_STYLE: Final = """
svg { background: #fff; font: 13px ui-monospace, Menlo, Consolas, "Noto Sans KR", "Noto Sans CJK KR", monospace; }
rect { fill: #f3f6fa; stroke: #9fb0c3; } .optional rect, .condition rect { stroke-dasharray: 5 4; }
text { fill: #1b1f24; } .id { font-weight: 700; } .use, .about, .heading { fill: #5a6572; }
.about { font-size: 11px; }
.title { font-size: 16px; font-weight: 700; } path { fill: none; stroke: #9fb0c3; stroke-width: 1.5; }
.tip { fill: #9fb0c3; stroke: none; }
@media (prefers-color-scheme: dark) {
  svg { background: #14171b; } rect { fill: #20262d; stroke: #5d6b7b; } text { fill: #e7eaee; }
  .use, .about, .heading { fill: #9aa5b2; } path { stroke: #5d6b7b; } .tip { fill: #5d6b7b; }
}
"""


def draw(workflow: Workflow, *, version: int | None = None, language: str = "en") -> str:
    """Return the SVG of a checked workflow: its steps, then those after a failure, then those that always run."""
    name = workflow.name if version is None else f"{workflow.name}@{version}"
    title = text_of(workflow.title, language)
    sections = [("", workflow.steps), ("on_failure", workflow.on_failure), ("always", workflow.always)]
    drawn = [(heading, steps, *_laid_out(steps)) for heading, steps in sections if steps]
    top = _MARGIN + 30
    width = max([layout.width for _, _, _, layout in drawn] + [_advance(f"{name}  {title}") * 1.25]) + 2 * _MARGIN
    root = Xml.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img"})
    Xml.SubElement(root, "title").text = _text(f"{name} {title}".strip())
    Xml.SubElement(root, "style").text = _STYLE
    _write(root, _MARGIN, _MARGIN + 8, f"{name}  {title}".strip(), "title")
    for heading, steps, graph, layout in drawn:
        if heading:
            _write(root, _MARGIN, top + 14, heading, "heading")
            top += _HEADING
        _section(root, steps, graph, layout, Place((width - layout.width) / 2, top))
        top += layout.height + _MARGIN
    for key, value in (("width", width), ("height", top)):
        root.set(key, _number(value))
    root.set("viewBox", f"0 0 {_number(width)} {_number(top)}")
    return Xml.tostring(root, encoding="unicode") + "\n"


def _laid_out(steps: Sequence[Step]) -> tuple[Graph, Layout]:
    graph = build_graph(steps)
    widths = {step.id: max(map(_advance, (step.id, step.use, _about(step)))) + 2 * _PADDING for step in steps}
    layout = arrange(graph.order, graph.predecessors, widths, box_height=_BOX_HEIGHT, gap=_GAP)
    return graph, layout


def _section(root: Xml.Element, steps: Sequence[Step], graph: Graph, layout: Layout, corner: Place) -> None:
    for name in graph.order:
        for before in graph.predecessors[name]:
            points = (layout.boxes[before], *layout.edges[before, name], layout.boxes[name])
            _edge(root, [Place(point.x + corner.x, point.y + corner.y) for point in points])
    for step in steps:
        place = layout.boxes[step.id]
        _box(root, step, Place(place.x + corner.x, place.y + corner.y))


def _edge(root: Xml.Element, points: Sequence[Place]) -> None:
    first, last = points[0], points[-1]
    # Straight down past the boxes of a layer, curved between the layers: so it crosses no box.
    half = _BOX_HEIGHT / 2
    x, y = first.x, first.y + half
    drawn = f"M{_number(x)} {_number(y)}"
    for point in points[1:]:
        end = point.y - half - (6 if point is last else 0)
        middle = (y + end) / 2
        drawn += " C" + " ".join(map(_number, (x, middle, point.x, middle, point.x, end)))
        x, y = point.x, point.y + half
        if point is not last:
            drawn += f" V{_number(y)}"
    Xml.SubElement(root, "path", {"d": drawn})
    y = last.y - half - 6
    tip = f"M{_number(x - 4)} {_number(y - 1)} L{_number(x + 4)} {_number(y - 1)} L{_number(x)} {_number(y + 6)} Z"
    Xml.SubElement(root, "path", {"d": tip, "class": "tip"})


def _box(root: Xml.Element, step: Step, place: Place) -> None:
    about = _about(step)
    width = max(map(_advance, (step.id, step.use, about))) + 2 * _PADDING
    kind = "optional" if step.optional else "condition" if step.if_ is not None else "step"
    group = Xml.SubElement(root, "g", {"class": kind})
    label = text_of(step.label)
    Xml.SubElement(group, "title").text = _text(" - ".join(part for part in (step.id, step.use, label) if part))
    x, y = place.x - width / 2, place.y - _BOX_HEIGHT / 2
    size = {"width": _number(width), "height": _number(_BOX_HEIGHT)}
    Xml.SubElement(group, "rect", {"x": _number(x), "y": _number(y), "rx": "8", **size})
    lines = [(step.id, "id"), (step.use, "use"), (about, "about")]
    shown = [line for line in lines if line[0]]
    base = place.y + 4 - (len(shown) - 1) * 7.5
    for number, (text, name) in enumerate(shown):
        _write(group, place.x, base + number * 15, text, name, middle=True)


def _about(step: Step) -> str:
    """What decides whether and how often it runs."""
    parts = [f"if {step.if_}" if step.if_ is not None else "", "optional" if step.optional else ""]
    if step.retry is not None and step.retry.attempts > 1:
        parts.append(f"{step.retry.attempts} tries")
    if step.steps:
        parts.append("does " + ", ".join(inner.id for inner in step.steps))
    return _cut(", ".join(part for part in parts if part))


def _write(parent: Xml.Element, x: float, y: float, text: str, name: str, *, middle: bool = False) -> None:
    about = {"x": _number(x), "y": _number(y), "class": name} | ({"text-anchor": "middle"} if middle else {})
    Xml.SubElement(parent, "text", about).text = _text(_cut(text) if name != "title" else text)


def _advance(text: str) -> float:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in _cut(text)) * _ADVANCE


def _cut(text: str) -> str:
    return text if len(text) <= _CHARACTERS_MAX else text[: _CHARACTERS_MAX - 1] + "…"


def _text(text: str) -> str:
    return _NOT_XML.sub("�", text)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
