"""ui.tap, ui.wait_for, ui.assert_visible, ui.assert_absent, ui.dump (step 8)."""

from __future__ import annotations

import re
from typing import Final

import trio

from doai.errors import ErrorClass, StepError
from doai.node.steps.base import StepContext, excerpt, step_failed
from doai.node.steps.device import parse_screen_size
from doai.node.steps.hierarchy import Element, ScreenUnreadableError, read_dump, read_hierarchy
from doai.node.steps.keyboard import check_input
from doai.node.steps.sections import run_sections
from doai.node.steps.selectors import describe_screen, describe_target, find_elements, has_conditions
from doai.workflow.duration import parse_duration
from doai.workflow.step_type import Position, Target
from doai.workflow.steps import AssertVisible, ElementOutputs, Tap, TapOutputs, WaitFor
from doai.workflow.ui_steps import AbsentOutputs, AssertAbsent, Dump, DumpOutputs

LOOKS_EVERY_S: Final = 0.5
"""A look costs a real phone one second or more; asking at once again would only heat it."""
ASSERT_LOOKS_WITHIN_S: Final = 5.0
"""How long an assertion tries to see the screen at all; whatever it then sees decides."""


async def tap(arguments: Tap, context: StepContext) -> TapOutputs:
    """Tap the middle of an element, or a position."""
    if (arguments.x is None) != (arguments.y is None) or (arguments.x is not None and has_conditions(arguments)):
        raise step_failed(
            ErrorClass.USER, "bad_target", "ui.tap needs either an element or both x and y, not a part of each."
        )
    if arguments.x is not None and arguments.y is not None:
        x, y = await to_pixels(context, arguments.x, arguments.y)
    else:
        within_s = parse_duration(arguments.within)
        element, _ = await find_element(context, arguments, within_s=within_s, every_s=LOOKS_EVERY_S)
        x, y = element.centre
    check_input(await context.device.shell(f"input tap {x} {y}"), "tap")
    return TapOutputs(x=x, y=y)


async def wait_for(arguments: WaitFor, context: StepContext) -> ElementOutputs:
    """Look until an element is on the screen."""
    element, waited_s = await find_element(
        context, arguments, within_s=parse_duration(arguments.within), every_s=parse_duration(arguments.every)
    )
    return _outputs(element, waited_s)


async def assert_visible(arguments: AssertVisible, context: StepContext) -> ElementOutputs:
    """Look once; only a screen that can not be read is looked at again."""
    began = trio.current_time()
    while True:
        try:
            elements = await read_hierarchy(context.device)
        except ScreenUnreadableError as error:
            if trio.current_time() + LOOKS_EVERY_S > began + ASSERT_LOOKS_WITHIN_S:
                raise unreadable(str(error)) from None
            await trio.sleep(LOOKS_EVERY_S)
            continue
        found = find_elements(elements, arguments)
        if len(found) <= arguments.index:
            raise _not_found(arguments, elements, len(found), "now")
        return _outputs(found[arguments.index], trio.current_time() - began)


async def assert_absent(arguments: AssertAbsent, context: StepContext) -> AbsentOutputs:
    """Look until an element is gone; a screen that can not be read is no proof of it."""
    find_elements([], arguments)  # a mistake of the recipe is told before the device is asked
    within_s, every_s = parse_duration(arguments.within), parse_duration(arguments.every)
    began = trio.current_time()
    unread_until = began + max(within_s, ASSERT_LOOKS_WITHIN_S)
    while True:
        try:
            elements = await read_hierarchy(context.device)
        except ScreenUnreadableError as error:
            if trio.current_time() + LOOKS_EVERY_S > unread_until:
                raise unreadable(str(error)) from None
            await trio.sleep(LOOKS_EVERY_S)
            continue
        waited_s = trio.current_time() - began
        found = find_elements(elements, arguments)
        if len(found) <= arguments.index:
            return AbsentOutputs(waited_ms=round(waited_s * 1000))
        if waited_s + every_s > within_s:
            when = f"still on the screen after {within_s:g} s" if within_s else "on the screen"
            raise step_failed(
                ErrorClass.APP,
                "element_present",
                f"An {describe_target(arguments)} is {when}; it shows: {describe_screen(elements)}.",
            )
        await trio.sleep(every_s)


async def dump(arguments: Dump, context: StepContext) -> DumpOutputs:
    """Keep the elements of the screen; what was typed into fields is part of it."""
    began = trio.current_time()
    while True:
        try:
            data, elements = await read_dump(context.device)
            break
        except ScreenUnreadableError as error:
            if trio.current_time() + LOOKS_EVERY_S > began + ASSERT_LOOKS_WITHIN_S:
                raise unreadable(str(error)) from None
            await trio.sleep(LOOKS_EVERY_S)
    ref = await context.keep_artifact(data, extension="xml", media_type="application/xml", name=arguments.name)
    return DumpOutputs(artifact=ref.name, elements=len(elements), size_bytes=ref.size_bytes, sha256=ref.sha256)


async def find_element(
    context: StepContext, target: Target, *, within_s: float, every_s: float
) -> tuple[Element, float]:
    """Look every ``every_s`` seconds for at most ``within_s`` and at least once; return the element and seconds."""
    find_elements([], target)  # a mistake of the recipe is told before the device is asked
    began = trio.current_time()
    while True:
        problem = None
        elements: list[Element] = []
        found: list[Element] = []
        try:
            elements = await read_hierarchy(context.device)
            found = find_elements(elements, target)
        except ScreenUnreadableError as error:
            problem = str(error)
        now = trio.current_time()
        if len(found) > target.index:
            return found[target.index], now - began
        if now + every_s > began + within_s:
            if problem is not None:
                raise unreadable(problem)
            raise _not_found(target, elements, len(found), f"after {within_s:g} s")
        await trio.sleep(every_s)


async def to_pixels(context: StepContext, x: Position, y: Position) -> tuple[int, int]:
    """Turn a position into pixels; the device is asked only where one is a share of its screen."""
    if isinstance(x, int) and isinstance(y, int):
        return x, y
    width, height = await screen_size(context)
    return _pixel(x, width), _pixel(y, height)


async def screen_size(context: StepContext) -> tuple[int, int]:
    """Ask for the screen as it is turned now; `wm size` alone knows only the upright one."""
    upright, turned = await run_sections(context.device, "wm size", "dumpsys window displays | grep cur=")
    current = re.search(r"\bcur=(\d+)x(\d+)", turned)
    size = (int(current[1]), int(current[2])) if current else parse_screen_size(upright)
    if size is None:
        raise step_failed(
            ErrorClass.DEVICE,
            "device_not_ready",
            f"The device does not tell the size of its screen; `wm size` said: {excerpt(upright)}.",
        )
    return size


def _pixel(position: Position, size: int) -> int:
    if isinstance(position, int):
        return position
    percent = float(position.rstrip("%"))
    if percent > 100:
        raise step_failed(ErrorClass.USER, "bad_position", f"The position {position} is outside of the screen.")
    return min(int(size * percent / 100), size - 1)


def _outputs(element: Element, waited_s: float) -> ElementOutputs:
    return ElementOutputs(text=element.text, bounds=list(element.bounds), waited_ms=round(waited_s * 1000))


def _not_found(target: Target, elements: list[Element], found: int, when: str) -> StepError:
    only = f" (only {found} such)" if found else ""
    return step_failed(
        ErrorClass.APP,
        "element_not_found",
        f"No {describe_target(target)} on the screen {when}{only}; it shows: {describe_screen(elements)}.",
    )


def unreadable(reason: str) -> StepError:
    """Return the error for a screen that gave no elements in time."""
    return step_failed(
        ErrorClass.APP,
        "screen_not_readable",
        f"The elements of the screen could not be read ({reason}): something on it may keep moving, or it is off.",
    )
