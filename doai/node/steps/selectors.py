"""Which elements a recipe means, pure (step 8).

All conditions that are given hold at once; `index` then picks among what is left. The order is that of the screen
(drawing order), but with `below` or `above` the nearest comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from doai.errors import ErrorClass
from doai.node.steps.base import excerpt, step_failed
from doai.node.steps.hierarchy import Element
from doai.workflow.conditions import ConditionError, matches
from doai.workflow.step_type import Target

TEXTS_SHOWN_MAX: Final = 15
TEXTS_CHARACTERS_MAX: Final = 400
"""What an error lists of the screen: enough to see where one is, and it fits an event."""


def has_conditions(target: Target) -> bool:
    """Whether the target names an element at all."""
    return any(value is not None for _, value in _conditions(target))


def find_elements(elements: Sequence[Element], target: Target) -> list[Element]:
    """Return the elements that meet every condition; those without an area are not on the screen.

    Raises StepError (class user): ``bad_pattern``, ``no_target``.
    """
    if not has_conditions(target):
        raise step_failed(
            ErrorClass.USER,
            "no_target",
            "The step names no element: give text, id, desc, class or another selector.",
        )
    pattern = _checked(target.text_matches)
    found = [
        element
        for element in elements
        if element.has_area
        and (target.text is None or element.text == target.text)
        and (pattern is None or _text_matches(pattern, element.text))
        and (target.id is None or _last_matches(element.resource_id, target.id, "/"))
        and (target.desc is None or element.desc == target.desc)
        and (target.class_name is None or _last_matches(element.class_name, target.class_name, "."))
        and (target.child_of is None or _is_inside(elements, element, target.child_of))
    ]
    if target.below is not None:
        edge = _edge(elements, target.below, bottom=True)
        found = [element for element in found if edge is not None and element.centre[1] >= edge]
        found.sort(key=lambda element: element.bounds[1])
    if target.above is not None:
        edge = _edge(elements, target.above, bottom=False)
        found = [element for element in found if edge is not None and element.centre[1] < edge]
        found.sort(key=lambda element: -element.bounds[3])
    return found


def describe_target(target: Target) -> str:
    """Say in words what is looked for, as part of a sentence."""
    conditions = ", ".join(
        f"{name} {excerpt(value, 80)!r}" for name, value in _conditions(target) if value is not None
    )
    return f"element with {conditions}" + (f", number {target.index + 1}" if target.index else "")


def describe_screen(elements: Sequence[Element]) -> str:
    """List the texts that can be read on the screen, bounded; what was typed into fields is left out."""
    texts: list[str] = []
    for element in elements:
        text = element.text or element.desc
        if text.strip() and element.has_area and not element.editable and (shown := excerpt(text, 40)) not in texts:
            texts.append(shown)
    if not texts:
        return "no text at all"
    more = f" and {len(texts) - TEXTS_SHOWN_MAX} more" if len(texts) > TEXTS_SHOWN_MAX else ""
    return excerpt(", ".join(f"'{text}'" for text in texts[:TEXTS_SHOWN_MAX]), TEXTS_CHARACTERS_MAX) + more


def _conditions(target: Target) -> Iterator[tuple[str, str | None]]:
    yield "text", target.text
    yield "text_matches", target.text_matches
    yield "id", target.id
    yield "desc", target.desc
    yield "class", target.class_name
    yield "below", target.below
    yield "above", target.above
    yield "child_of", target.child_of


def _checked(pattern: str | None) -> str | None:
    if pattern is not None:
        _text_matches(pattern, "")  # a wrong pattern is said also when the screen is empty
    return pattern


def _text_matches(pattern: str, text: str) -> bool:
    # RE2 through CEL: linear time whatever the pattern, so that a recipe can not hang the node.
    try:
        return matches(pattern, text.replace("\0", "\N{REPLACEMENT CHARACTER}"))
    except ConditionError as error:
        raise step_failed(
            ErrorClass.USER,
            "bad_pattern",
            f"text_matches {excerpt(pattern, 80)!r} is no regular expression (RE2): {error}.",
        ) from None


def _last_matches(whole: str, wanted: str, separator: str) -> bool:
    return whole == wanted or (separator not in wanted and whole.rpartition(separator)[2] == wanted)


def _is_inside(elements: Sequence[Element], element: Element, resource_id: str) -> bool:
    parent = element.parent
    while parent >= 0:
        if _last_matches(elements[parent].resource_id, resource_id, "/"):
            return True
        parent = elements[parent].parent
    return False


def _edge(elements: Sequence[Element], text: str, *, bottom: bool) -> int | None:
    """Where the first element with a text ends (``bottom``) or begins, in pixels from the top."""
    for element in elements:
        if element.has_area and element.text == text:
            return element.bounds[3] if bottom else element.bounds[1]
    return None
