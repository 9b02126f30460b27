"""The drawing of a workflow: well-formed, every step in it, whatever texts the recipe has."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from doai.workflow.drawing import draw
from doai.workflow.model import parse_workflow

SVG = "{http://www.w3.org/2000/svg}"
SOURCE = """
workflow: look
title: {en: "<script>alert(1)</script> & more", ko: 둘러보기}
steps:
  - {id: boot, use: device.bootstrap}
  - {id: shot, use: screen.capture, label: "</text><a href='x'>"}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.shot.artifact}"}, needs: [shot], optional: true}
  - {id: nap, use: wait, with: {for: 1s}, needs: [boot], if: "device.serial < 'B'"}
on_failure:
  - {use: screen.capture}
always:
  - {use: app.stop, with: {package: com.example.login}}
"""


def test_every_step_is_a_box_and_every_wait_an_edge() -> None:
    root = Xml.fromstring(draw(parse_workflow(SOURCE), version=3))
    boxes = list(root.iter(f"{SVG}g"))
    ids = [next(text.text for text in box.iter(f"{SVG}text")) for box in boxes]
    assert ids == ["boot", "shot", "keep", "nap", "on_failure-1", "always-1"]
    assert [box.get("class") for box in boxes[:4]] == ["step", "step", "optional", "condition"]
    edges = [path for path in root.iter(f"{SVG}path") if path.get("class") is None]
    assert len(edges) == 3
    assert "look@3" in (root.findtext(f"{SVG}title") or "")


def test_texts_stay_texts_and_nothing_is_fetched() -> None:
    picture = draw(parse_workflow(SOURCE))
    root = Xml.fromstring(picture)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags == {"svg", "title", "style", "text", "path", "g", "rect"}
    assert not [
        name for element in root.iter() for name in element.attrib if name.startswith("on") or "href" in name
    ]
    assert "url(" not in picture


def test_in_korean() -> None:
    assert "둘러보기" in draw(parse_workflow(SOURCE), language="ko")
