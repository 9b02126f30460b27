"""screen.compare (step 8)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from doai.drivers.png import picture_size
from doai.errors import ErrorClass, StepError
from doai.node.steps.base import StepContext, excerpt, step_failed
from doai.node.steps.difference import (
    Box,
    Difference,
    UnreadablePictureError,
    compare_pictures,
    size_of_file,
)
from doai.node.steps.screen import take_picture
from doai.workflow.duration import parse_duration
from doai.workflow.screen_steps import Compare, CompareOutputs, Mask, baseline_name
from doai.workflow.step_type import Position

AT_ONCE: Final = 2
"""Comparisons at a time on a node: for 1080x2400 pixels each takes a core for 0.2 to 0.8 s, and some 60 MB."""
_MODEL: Final = "getprop ro.product.model"


class _Baseline(msgspec.Struct, frozen=True):
    """The file that a screen is compared with."""

    reference: str
    """With its version."""
    path: Path


class _Look(msgspec.Struct, frozen=True):
    """One look at the screen, and what came of it."""

    screen: bytes
    size: tuple[int, int]
    baseline: _Baseline
    found: Difference
    waited_s: float


class Comparisons:
    """Compares screens, a few at a time however many tasks ask."""

    def __init__(self) -> None:
        self._threads = trio.CapacityLimiter(AT_ONCE)

    async def compare(self, arguments: Compare, context: StepContext) -> CompareOutputs:
        """Perform the step."""
        return await _compare(arguments, context, self._threads)


async def _compare(arguments: Compare, context: StepContext, threads: trio.CapacityLimiter) -> CompareOutputs:
    """Look until the screen is like its baseline; the last look is kept, and handed over when it is not."""
    tolerance = _percent(arguments.tolerance, "tolerance")
    boxes_of(arguments.masks, 1, 1)  # a mistake of the recipe is told before the device is asked
    began = trio.current_time()
    within_s, every_s = parse_duration(arguments.within), parse_duration(arguments.every)
    known: dict[tuple[int, int], _Baseline] = {}
    while True:
        screen = await take_picture(context.device)
        size = picture_size(screen)
        if size not in known:  # a screen that was turned is another one
            known[size] = await _find(screen, size, arguments, context)
        work = partial(
            compare_pictures,
            screen,
            known[size].path,
            boxes_of(arguments.masks, *size),
            arguments.colour_tolerance,
        )
        found = await _compared(work, known[size], threads)
        look = _Look(screen, size, known[size], found, trio.current_time() - began)
        if not found.pixels:
            raise step_failed(
                ErrorClass.USER,
                "nothing_compared",
                f"The masks of step {context.step_id} cover the whole screen: make them smaller.",
            )
        if found.percent <= tolerance:
            return await _passed(look, arguments, context)
        if look.waited_s + every_s > within_s:
            raise await _differs(look, arguments, context)
        await trio.sleep(every_s)


async def _find(screen: bytes, size: tuple[int, int], arguments: Compare, context: StepContext) -> _Baseline:
    """Return the baseline; raises StepError when there is none, or it is none for this screen."""
    name = arguments.baseline or await _own_name(size, context)
    pin = context.pinned(name)
    if pin is None:
        details = await _kept(arguments, context, screen, name)
        raise step_failed(
            ErrorClass.USER,
            "baseline_missing",
            f"When the run was made there was no baseline named {name}: look at the picture of this step, and if "
            f"it is right, accept it with `{_accept(context)}`.",
            details,
        )
    path = await context.file(name)
    try:
        wanted = await trio.to_thread.run_sync(size_of_file, path)
    except UnreadablePictureError as error:
        raise _no_picture(name, str(error)) from None
    except OSError as error:
        raise _unreadable_copy(name, error) from None
    if wanted != size:
        details = await _kept(arguments, context, screen, name)
        raise step_failed(
            ErrorClass.USER,
            "baseline_other_size",
            f"The baseline {name.partition('@')[0]}@{pin.version} is a picture of {wanted[0]}x{wanted[1]} pixels, "
            f"and the screen has {size[0]}x{size[1]}: leave `baseline` out, so that there is one for each model "
            f"and size, or make this picture its next version with `{_accept(context)}`.",
            details,
        )
    return _Baseline(f"{name.partition('@')[0]}@{pin.version}", path)


async def _compared(
    work: Callable[[], Difference], baseline: _Baseline, threads: trio.CapacityLimiter
) -> Difference:
    try:
        return await trio.to_thread.run_sync(work, limiter=threads)
    except UnreadablePictureError as error:
        raise _no_picture(baseline.reference, str(error)) from None
    except ValueError as error:
        raise step_failed(
            ErrorClass.DEVICE,
            "bad_screenshot",
            f"The device's picture of its screen can not be used: {excerpt(str(error))}.",
        ) from None
    except OSError as error:
        raise _unreadable_copy(baseline.reference, error) from None


async def _own_name(size: tuple[int, int], context: StepContext) -> str:
    model = (await context.device.shell(_MODEL)).text.strip()
    return baseline_name(context.recipe, context.step_id.rpartition("/")[2], model, *size)


async def _passed(look: _Look, arguments: Compare, context: StepContext) -> CompareOutputs:
    ref = await context.keep_artifact(look.screen, extension="png", media_type="image/png", name=arguments.name)
    return CompareOutputs(
        artifact=ref.name,
        baseline=look.baseline.reference,
        width=look.size[0],
        height=look.size[1],
        pixels=look.found.pixels,
        differing_pixels=look.found.differing,
        differing_percent=round(look.found.percent, 4),
        waited_ms=round(look.waited_s * 1000),
    )


async def _differs(look: _Look, arguments: Compare, context: StepContext) -> StepError:
    found = look.found
    assert found.bounds is not None
    details = await _kept(arguments, context, look.screen, look.baseline.reference)
    label = f"{arguments.name or context.step_id}-difference"
    ref = await context.keep_artifact(found.picture, extension="png", media_type="image/png", name=label)
    details |= {
        "difference": (await context.spool_artifact(ref.name)).path,
        "pixels": found.pixels,
        "differing_pixels": found.differing,
        "bounds": list(found.bounds),
    }
    left, top, right, bottom = found.bounds
    after = f" after {look.waited_s:.0f} s" if parse_duration(arguments.within) else ""
    return step_failed(
        ErrorClass.APP,
        "screen_differs",
        f"The screen differs from {look.baseline.reference}{after} in {found.differing} of {found.pixels} pixels "
        f"({_shown(found.percent)}, {arguments.tolerance} may), within {left},{top} to {right},{bottom}: look at "
        f"the picture of the difference; if the new screen is right, accept it with `{_accept(context)}`.",
        details,
    )


async def _kept(arguments: Compare, context: StepContext, screen: bytes, name: str) -> dict[str, Any]:
    """Hand the screen over; return what `doai baseline accept` needs."""
    ref = await context.keep_artifact(screen, extension="png", media_type="image/png", name=arguments.name)
    asked_for = {"asked_for": arguments.baseline} if arguments.baseline else {}
    return {"baseline": name, "screen": (await context.spool_artifact(ref.name)).path, **asked_for}


def _accept(context: StepContext) -> str:
    return f"doai baseline accept {context.run_id} --step {context.step_id}"


def boxes_of(masks: Sequence[Mask], width: int, height: int) -> list[Box]:
    """Return masks in pixels, those at least that a share touches; raises StepError (class user)."""
    boxes = []
    for mask in masks:
        left, top = _share(mask.x, width), _share(mask.y, height)
        right, bottom = left + _share(mask.width, width), top + _share(mask.height, height)
        box = math.floor(left), math.floor(top), min(math.ceil(right), width), min(math.ceil(bottom), height)
        if box[0] < box[2] and box[1] < box[3]:
            boxes.append(box)
    return boxes


def _share(position: Position, whole: int) -> float:
    return position if isinstance(position, int) else _percent(position, "masks") * whole / 100


def _percent(text: str, argument: str) -> float:
    value = float(text.rstrip("%"))
    if value > 100:
        raise step_failed(
            ErrorClass.USER, "bad_share", f"{text} in `{argument}` is more than the whole: give 0% to 100%."
        )
    return value


def _shown(percent: float) -> str:
    return f"{percent:.2f}%" if percent >= 0.01 else "less than 0.01%"


def _no_picture(name: str, why: str) -> StepError:
    return step_failed(
        ErrorClass.USER,
        "baseline_unreadable",
        f"The file {name} can not be a baseline ({excerpt(why)}): put a PNG of the screen, or accept one.",
    )


def _unreadable_copy(name: str, error: OSError) -> StepError:
    return step_failed(
        ErrorClass.INFRASTRUCTURE,
        "file_unreadable",
        f"This node can not read its copy of {name} ({error.strerror or error}): look at its disk.",
    )
