"""screen.compare: what differs, what is masked, and what is said when there is nothing to compare with."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from PIL import Image
from trio.testing import MockClock

from doai.errors import ErrorClass
from doai.node.steps import compare

Make = Callable[[dict[str, Any]], Any]
SIZE = (40, 80)
OWN = "baseline/check/step-1/Pixel-7-40x80"
ACCEPT = "`doai baseline accept RUN-1 --step step-1`"
WHITE, GREY, BLACK = (255, 255, 255), (245, 245, 245), (0, 0, 0)


def png(
    *spots: tuple[int, int, int, int], colour: tuple[int, int, int] = BLACK, size: tuple[int, int] = SIZE
) -> bytes:
    """A white picture with rectangles in it."""
    picture = Image.new("RGB", size, WHITE)
    for spot in spots:
        picture.paste(colour, spot)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def bench_of(scripted: Make, folder: Path, screen: bytes, baseline: bytes | None, name: str = OWN) -> Any:
    """A device that shows one picture, and a stored baseline."""
    bench = scripted({"getprop": " Pixel 7\n"})
    bench.device.picture = screen
    if baseline is not None:
        path = folder / "baseline"
        path.write_bytes(baseline)
        bench.context.files[name] = path
    return bench


async def test_a_screen_that_is_its_baseline_passes(scripted: Make, tmp_path: Path) -> None:
    bench = bench_of(scripted, tmp_path, png((1, 1, 5, 5)), png((1, 1, 5, 5)))
    done = await bench.do("screen.compare")
    assert (done.baseline, done.width, done.height, done.pixels) == (f"{OWN}@1", 40, 80, 3200)
    assert (done.differing_pixels, done.differing_percent) == (0, 0.0)
    assert bench.context.kept == {"step-1-1.png": png((1, 1, 5, 5))}
    assert bench.context.spooled == [], "what passed is sent only if the recipe does"


async def test_what_differs_is_counted_shown_and_handed_over(scripted: Make, tmp_path: Path) -> None:
    bench = bench_of(scripted, tmp_path, png((10, 20, 14, 28)), png())
    error = await bench.fail("screen.compare", masks=[{"height": "10%"}])
    assert (error.failure.error_class, error.code) == (ErrorClass.APP, "screen_differs")
    assert str(error) == (
        f"The screen differs from {OWN}@1 in 32 of 2880 pixels (1.11%, 0% may), within 10,20 to 14,28: look at the "
        f"picture of the difference; if the new screen is right, accept it with {ACCEPT}."
    )
    assert error.failure.details == {
        "baseline": f"{OWN}@1",
        "screen": "c/step-1-1.png",
        "difference": "c/step-1-difference-1.png",
        "pixels": 2880,
        "differing_pixels": 32,
        "bounds": [10, 20, 14, 28],
    }
    assert bench.context.spooled == ["step-1-1.png", "step-1-difference-1.png"]
    shown = Image.open(io.BytesIO(bench.context.kept["step-1-difference-1.png"])).convert("RGB")
    assert shown.size == SIZE
    red, _, blue = shown.getpixel((12, 24))
    assert red > 150 > blue, "what differs is red"
    red, _, blue = shown.getpixel((12, 4))
    assert blue > red, "what is masked is blue"
    assert shown.getpixel((35, 60)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("arguments", "passes"),
    [
        ({"masks": [{"x": 10, "y": 20, "width": 4, "height": 8}]}, True),
        ({"masks": [{"x": 10, "y": 20, "width": 4, "height": 7}]}, False),
        ({"masks": [{"x": "25%", "y": "25%", "width": "10%", "height": "10%"}]}, True),
        ({"masks": [{"x": "24%", "y": "24%", "width": "12%", "height": "12%"}]}, True),
        ({"masks": [{"y": "25%", "height": "10%"}, {"x": 4000}]}, True),
        ({"tolerance": "1%"}, True),
        ({"tolerance": "0.9%"}, False),
        ({"colour_tolerance": 254}, False),
    ],
)
async def test_masks_and_tolerance(scripted: Make, tmp_path: Path, arguments: dict[str, Any], passes: bool) -> None:
    bench = bench_of(scripted, tmp_path, png((10, 20, 14, 28)), png())
    if passes:
        await bench.do("screen.compare", **arguments)
    else:
        assert (await bench.fail("screen.compare", **arguments)).code == "screen_differs"


async def test_colours_may_differ_a_little(scripted: Make, tmp_path: Path) -> None:
    bench = bench_of(scripted, tmp_path, png((0, 0, 9, 9), colour=GREY), png())
    assert (await bench.fail("screen.compare")).code == "screen_differs"
    assert (await bench.do("screen.compare", colour_tolerance=10)).differing_pixels == 0


async def test_the_first_time_there_is_nothing_to_compare_with(scripted: Make, tmp_path: Path) -> None:
    bench = bench_of(scripted, tmp_path, png(), None)
    error = await bench.fail("screen.compare", name="home")
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, "baseline_missing")
    assert f"no baseline named {OWN}" in str(error)
    assert ACCEPT in str(error)
    assert error.failure.details == {"baseline": OWN, "screen": "c/home-1.png"}
    assert bench.context.spooled == ["home-1.png"]
    bench.context.step_id = "twice#2/home"
    assert "no baseline named baseline/check/home/Pixel-7-40x80:" in str(await bench.fail("screen.compare"))
    assert "no baseline named login:" in str(await bench.fail("screen.compare", baseline="login"))


async def test_a_baseline_of_another_size_is_refused_and_named(scripted: Make, tmp_path: Path) -> None:
    bench = bench_of(scripted, tmp_path, png(), png(size=(80, 40)), name="home")
    error = await bench.fail("screen.compare", baseline="home")
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, "baseline_other_size")
    assert "home@1 is a picture of 80x40 pixels, and the screen has 40x80" in str(error)
    assert error.failure.details["screen"] == "c/step-1-1.png"


@pytest.mark.parametrize("damage", [lambda data: b"no picture", lambda data: data[:20], lambda data: data[:60]])
async def test_a_baseline_that_is_no_picture(
    scripted: Make, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    bench = bench_of(scripted, tmp_path, png(), damage(png((1, 1, 30, 30))))
    error = await bench.fail("screen.compare")
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, "baseline_unreadable")


async def test_a_baseline_that_went_from_the_disk(scripted: Make, tmp_path: Path) -> None:
    bench = bench_of(scripted, tmp_path, png(), png())
    (tmp_path / "baseline").unlink()
    error = await bench.fail("screen.compare")
    assert (error.failure.error_class, error.code) == (ErrorClass.INFRASTRUCTURE, "file_unreadable")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"tolerance": "101%"}, "bad_share"),
        ({"masks": [{"width": "100.5%"}]}, "bad_share"),
    ],
)
async def test_a_share_of_more_than_the_whole(scripted: Make, arguments: dict[str, Any], code: str) -> None:
    bench = scripted({})
    error = await bench.fail("screen.compare", **arguments)
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, code)
    assert bench.device.commands == []


async def test_masks_over_everything_compare_nothing(scripted: Make, tmp_path: Path) -> None:
    bench = bench_of(scripted, tmp_path, png(), png())
    assert (await bench.fail("screen.compare", masks=[{}])).code == "nothing_compared"


async def test_a_screen_may_take_its_time(scripted: Make, tmp_path: Path, autojump_clock: MockClock) -> None:
    bench = bench_of(scripted, tmp_path, b"", png())
    screens = [png((1, 1, 2, 2)), png((1, 1, 2, 2)), png()]

    async def screenshot() -> bytes:
        return screens.pop(0)

    bench.device.screenshot = screenshot
    assert (await bench.do("screen.compare", within="5s")).waited_ms == pytest.approx(1000, abs=50)
    screens[:] = [png((1, 1, 2, 2))] * 20
    assert "after 2 s in 1 of" in str(await bench.fail("screen.compare", within="2s"))
    assert len(bench.context.spooled) == 2, "only of the last look"


async def test_a_screen_that_turns_is_compared_with_another_baseline(
    scripted: Make, tmp_path: Path, autojump_clock: MockClock
) -> None:
    bench = bench_of(scripted, tmp_path, b"", png((0, 0, 9, 9)))
    bench.context.files["baseline/check/step-1/Pixel-7-80x40"] = path = tmp_path / "turned"
    path.write_bytes(png(size=(80, 40)))
    screens = [png(), png(size=(80, 40))]

    async def screenshot() -> bytes:
        return screens.pop(0)

    bench.device.screenshot = screenshot
    done = await bench.do("screen.compare", within="5s")
    assert (done.baseline, done.width) == ("baseline/check/step-1/Pixel-7-80x40@1", 80)


async def test_the_simulated_phone_against_itself(phone: Any, tmp_path: Path) -> None:
    missing = await phone.fail("screen.compare")
    [reference] = list(phone.context.kept)
    (tmp_path / "baseline").write_bytes(phone.context.kept[reference])
    phone.context.files[missing.failure.details["baseline"]] = tmp_path / "baseline"
    assert (await phone.do("screen.compare")).differing_pixels == 0
    await phone.do("ui.long_press", text="Chrome")
    error = await phone.fail("screen.compare", masks=[{"height": "4%"}])
    assert error.code == "screen_differs"


async def test_a_few_are_compared_at_a_time(
    scripted: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare_pictures, lock, running, most = compare.compare_pictures, threading.Lock(), 0, 0

    def counted(*arguments: Any) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return compare_pictures(*arguments)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(compare, "compare_pictures", counted)
    bench = bench_of(scripted, tmp_path, png(), png(), name="home")
    async with trio.open_nursery() as nursery:
        for _ in range(4 * compare.AT_ONCE):
            nursery.start_soon(partial(bench.do, "screen.compare", baseline="home"))
    assert 1 <= most <= compare.AT_ONCE
