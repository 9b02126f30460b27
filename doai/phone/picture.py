"""The picture of a phone's display: a small PNG that shows its state (way of a task: 9).

Pillow is imported when the first picture is drawn: a shelf that nobody photographs does not pay for it.
"""

import functools
import io
import struct
from typing import TYPE_CHECKING

from doai.phone import screens
from doai.phone.device import Device
from doai.phone.screens import STATUS_BAR_PX, keyboard_bounds
from doai.phone.widgets import Bounds, Widget, walk

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont

PALETTE: tuple[tuple[int, int, int], ...] = (
    (255, 255, 255),
    (17, 17, 17),
    (207, 216, 220),
    (25, 118, 210),
    (211, 47, 47),
    (46, 125, 50),
    (69, 90, 100),
    (236, 239, 241),
)
"""White, black, grey, blue, red, green, dark, pale: the indexes in doai.phone.screens."""
FONT_PX = 13
KEY_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


@functools.cache
def _font() -> "FreeTypeFont | BitmapFont":
    from PIL import ImageFont

    return ImageFont.load_default(FONT_PX)


def draw(device: Device, now_s: float) -> "Image":
    """The display as a palette image of the display's size; black when the screen is off."""
    from PIL import Image, ImageDraw

    frame = device.frame
    image = Image.new("P", (frame.width_px, frame.height_px), screens.BLACK)
    image.putpalette([part for colour in PALETTE for part in colour])
    if not device.power.screen_on:
        return image
    pen = ImageDraw.Draw(image)
    pen.fontmode = "1"  # no grey edges: the palette has none, and the file stays small
    for widget in walk(device.screen(now_s).root):
        _draw_widget(pen, widget)
    if device.window.keyboard_shown:
        _draw_keyboard(pen, keyboard_bounds(frame))
    pen.rectangle((0, 0, frame.width_px - 1, STATUS_BAR_PX - 1), fill=screens.DARK)
    clock = device.local_time(now_s).strftime("%H:%M:%S")
    status = f"{clock}  {device.serial}  {device.power.level_percent(now_s):.0f}%"
    pen.text((6, 4), status, fill=screens.WHITE, font=_font())
    return image


def png(device: Device, now_s: float) -> bytes:
    """The display as PNG, a few kilobytes."""
    out = io.BytesIO()
    draw(device, now_s).save(out, "PNG", compress_level=6)
    return out.getvalue()


def raw(device: Device, now_s: float) -> bytes:
    """What `screencap` writes without -p: width, height, format 1 (RGBA), colour space 1, then the pixels."""
    image = draw(device, now_s).convert("RGBA")
    return struct.pack("<4I", *image.size, 1, 1) + image.tobytes()


def framebuffer(device: Device, now_s: float) -> bytes:
    """The answer of the `framebuffer:` service: a header of version 1 and 32-bit RGBA rows (adb SERVICES.TXT)."""
    image = draw(device, now_s).convert("RGBA")
    width, height = image.size
    masks = (0, 8, 16, 8, 8, 8, 24, 8)  # offset and length of red, blue, green, alpha
    return struct.pack("<13I", 1, 32, width * height * 4, width, height, *masks) + image.tobytes()


def _draw_widget(pen: "ImageDraw", widget: Widget) -> None:
    box = widget.bounds
    if widget.fill is not None:
        outline = screens.BLUE if widget.focused else None
        pen.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), fill=widget.fill, outline=outline)
    text, ink = widget.shown_text, widget.ink
    if widget.kind == "EditText" and not text:
        text, ink = widget.desc, screens.DARK
    if widget.password:
        text = "*" * len(widget.text) or text
    if text:
        pen.text((box.left + 6, (box.top + box.bottom) // 2 - FONT_PX // 2 - 2), text, fill=ink, font=_font())


def _draw_keyboard(pen: "ImageDraw", box: Bounds) -> None:
    pen.rectangle((box.left, box.top, box.right, box.bottom), fill=screens.DARK)
    key_px = (box.right - box.left) // len(KEY_ROWS[0])
    for row, keys in enumerate(KEY_ROWS):
        top = box.top + 14 + row * 48
        for column, key in enumerate(keys):
            left = box.left + column * key_px + row * key_px // 2
            pen.rectangle((left + 2, top, left + key_px - 3, top + 38), fill=screens.PALE)
            pen.text((left + key_px // 2 - 4, top + 11), key, fill=screens.BLACK, font=_font())
