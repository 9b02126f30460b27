"""ui.long_press, ui.swipe, ui.scroll_to (step 8).

`input swipe` moves a finger in a straight line at one speed; a swipe that stays where it is holds it there. Nothing
here imitates a person's hand.
"""

from __future__ import annotations

from typing import Final

import trio

from doai.errors import ErrorClass, StepError
from doai.node.steps.base import StepContext, step_failed
from doai.node.steps.hierarchy import Element, ScreenUnreadableError, read_hierarchy
from doai.node.steps.keyboard import check_input
from doai.node.steps.selectors import describe_screen, describe_target, find_elements, has_conditions
from doai.node.steps.ui import LOOKS_EVERY_S, find_element, screen_size, to_pixels, unreadable
from doai.workflow.duration import parse_duration
from doai.workflow.step_type import Target
from doai.workflow.ui_steps import LongPress, PressOutputs, ScrollOutputs, ScrollTo, Swipe, SwipeOutputs

Area = tuple[int, int, int, int]
"""left, top, right, bottom in pixels."""

SCROLL_SHARE: Final = 0.6
"""Of the area, moved by one swipe: what was at its edge is still seen after it."""
SCROLL_MS: Final = 600
"""Slow enough that the content stops with the finger on most phones."""
SCROLL_RESTS_S: Final = 0.5
"""Content that was thrown comes to rest; a look while it moves would miss."""
_READ_TRIES: Final = 3

_FINGER: Final = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}
_SCROLL: Final = {"down": "up", "up": "down", "right": "left", "left": "right"}
"""Where the finger goes so that what lies in a direction comes into sight."""


async def long_press(arguments: LongPress, context: StepContext) -> PressOutputs:
    """Hold a finger on the middle of an element, or on a position."""
    _check_place(arguments, arguments.x, arguments.y, "ui.long_press")
    if arguments.x is not None and arguments.y is not None:
        x, y = await to_pixels(context, arguments.x, arguments.y)
    else:
        element, _ = await find_element(
            context, arguments, within_s=parse_duration(arguments.within), every_s=LOOKS_EVERY_S
        )
        x, y = element.centre
    await _move(context, x, y, x, y, round(parse_duration(arguments.hold) * 1000), "long press")
    return PressOutputs(x=x, y=y)


async def swipe(arguments: Swipe, context: StepContext) -> SwipeOutputs:
    """Move a finger in a direction, or from one place to another."""
    places = (arguments.x, arguments.y, arguments.to_x, arguments.to_y)
    given = sum(place is not None for place in places)
    if given not in (0, 4) or (given == 4) == (arguments.direction is not None):
        raise step_failed(
            ErrorClass.USER,
            "bad_swipe",
            "ui.swipe needs either a direction or all of x, y, to_x and to_y, not a part of each.",
        )
    if arguments.direction is None:
        _check_place(arguments, arguments.x, arguments.y, "ui.swipe")
        assert arguments.x is not None
        assert arguments.y is not None
        assert arguments.to_x is not None
        assert arguments.to_y is not None
        x, y = await to_pixels(context, arguments.x, arguments.y)
        to_x, to_y = await to_pixels(context, arguments.to_x, arguments.to_y)
    else:
        share = float(arguments.distance.rstrip("%")) / 100
        if not 0 < share <= 1:
            raise step_failed(
                ErrorClass.USER, "bad_swipe", f"A swipe over {arguments.distance} is none: give 1% to 100%."
            )
        x, y, to_x, to_y = way(await _area(arguments, context), arguments.direction, share)
    await _move(context, x, y, to_x, to_y, round(parse_duration(arguments.duration) * 1000), "swipe")
    return SwipeOutputs(x=x, y=y, to_x=to_x, to_y=to_y)


async def scroll_to(arguments: ScrollTo, context: StepContext) -> ScrollOutputs:
    """Look, scroll, look again; a screen that stays the same has ended."""
    find_elements([], arguments)  # a mistake of the recipe is told before the device is asked
    elements = await _read(context)
    for swipes in range(arguments.swipes_max + 1):
        found = find_elements(elements, arguments)
        if len(found) > arguments.index:
            element = found[arguments.index]
            return ScrollOutputs(text=element.text, bounds=list(element.bounds), swipes=swipes)
        if swipes == arguments.swipes_max:
            break
        area = await _scrolled_area(arguments, elements, context)
        x, y, to_x, to_y = way(area, _SCROLL[arguments.direction], SCROLL_SHARE)
        await _move(context, x, y, to_x, to_y, SCROLL_MS, "swipe")
        await trio.sleep(SCROLL_RESTS_S)
        before, elements = elements, await _read(context)
        if elements == before:
            raise _not_reached(arguments, elements, f"at the end, after {swipes + 1} swipes {arguments.direction}")
    raise _not_reached(arguments, elements, f"after {arguments.swipes_max} swipes {arguments.direction}")


def way(area: Area, direction: str, share: float) -> tuple[int, int, int, int]:
    """Return from where to where a finger goes: through the middle of the area, over this share of it."""
    left, top, right, bottom = area
    x_sign, y_sign = _FINGER[direction]
    half_x = round((right - left) * share / 2) * x_sign
    half_y = round((bottom - top) * share / 2) * y_sign
    x, y = (left + right) // 2, (top + bottom) // 2
    # The last pixel of an area is the one before its edge.
    places = (x - half_x, y - half_y, x + half_x, y + half_y)
    limits = ((left, right), (top, bottom)) * 2
    x, y, to_x, to_y = (min(max(place, low), high - 1) for place, (low, high) in zip(places, limits, strict=True))
    return x, y, to_x, to_y


async def _area(arguments: Swipe, context: StepContext) -> Area:
    if has_conditions(arguments):
        within_s = parse_duration(arguments.within)
        return (await find_element(context, arguments, within_s=within_s, every_s=LOOKS_EVERY_S))[0].bounds
    width, height = await screen_size(context)
    return 0, 0, width, height


async def _scrolled_area(arguments: ScrollTo, elements: list[Element], context: StepContext) -> Area:
    if arguments.inside is None:
        width, height = await screen_size(context)
        return 0, 0, width, height
    target = Target(id=arguments.inside)
    found = find_elements(elements, target)
    if not found:
        raise step_failed(
            ErrorClass.APP,
            "element_not_found",
            f"No {describe_target(target)} on the screen to scroll in; it shows: {describe_screen(elements)}.",
        )
    return found[0].bounds


async def _read(context: StepContext) -> list[Element]:
    for left in range(_READ_TRIES - 1, -1, -1):
        try:
            return await read_hierarchy(context.device)
        except ScreenUnreadableError as error:
            if not left:
                raise unreadable(str(error)) from None
            await trio.sleep(LOOKS_EVERY_S)
    raise AssertionError("the last try returns or raises")


async def _move(context: StepContext, x: int, y: int, to_x: int, to_y: int, duration_ms: int, what: str) -> None:
    check_input(await context.device.shell(f"input swipe {x} {y} {to_x} {to_y} {duration_ms}"), what)


def _check_place(target: Target, x: object, y: object, use: str) -> None:
    if (x is None) != (y is None) or (x is not None and has_conditions(target)):
        raise step_failed(
            ErrorClass.USER, "bad_target", f"{use} needs either an element or both x and y, not a part of each."
        )


def _not_reached(target: Target, elements: list[Element], when: str) -> StepError:
    return step_failed(
        ErrorClass.APP,
        "element_not_found",
        f"No {describe_target(target)} on the screen {when}; it shows: {describe_screen(elements)}.",
    )
