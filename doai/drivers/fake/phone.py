"""One fake phone: its state, and the phone model that is made when it is first needed (step 9)."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable, Mapping
from contextlib import closing
from types import MappingProxyType
from typing import Final

import trio

from doai.drivers.base import CommandOutput, DeviceInfo
from doai.drivers.calls import Calls
from doai.drivers.png import SIGNATURE
from doai.phone.commands import TABLE
from doai.phone.commands.call import Call, Program, operands
from doai.phone.device import Device as Model
from doai.phone.effects import STDOUT, Effect, Output, Read, Wait
from doai.phone.files import FileError
from doai.phone.profiles import choose
from doai.phone.shell import Session
from doai.states import DeviceState

WALL_OFFSET_S: Final = 1_700_000_000.0
"""Unix time at which a fake phone's clock begins (2023-11-14), so that runs on a virtual clock repeat exactly."""


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@functools.lru_cache(maxsize=32)
def picture_of(width: int, height: int) -> bytes:
    """Return a valid PNG of this size in one colour: one bit a pixel, so that it takes some hundred bytes."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    row = b"\0" + b"\xff" * ((width + 7) // 8)
    return b"".join(
        (SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(row * height, 9)), _chunk(b"IEND", b""))
    )


class RebootedError(Exception):
    """The command restarted the phone and is never answered."""


class FakePhone:
    """One fake phone: what the driver says of it, and what it answers."""

    __slots__ = ("_model", "_seed_number", "calls", "info", "last_proof_s", "reason", "state")

    def __init__(self, info: DeviceInfo, seed: int, number: int) -> None:
        self.info = info
        self.state = DeviceState.ONLINE
        self.reason = ""
        self.calls = Calls()
        self.last_proof_s = float("-inf")
        self._seed_number = (seed, number)
        self._model: Model | None = None

    @property
    def serial(self) -> str:
        return self.info.serial

    @property
    def model(self) -> Model:
        """The phone's pure model; made at its first use, with a full uptime behind it."""
        if self._model is None:
            profile, tags = choose(*self._seed_number)
            self._model = Model(
                serial=self.serial,
                profile=profile,
                tags=tags,
                now_s=trio.current_time(),
                wall_offset_s=WALL_OFFSET_S,
                up_for_s=3600.0,
            )
        return self._model

    def screenshot(self) -> bytes:
        """Return a picture of the screen's size; what the screen shows is not drawn."""
        frame = self.model.frame
        return picture_of(frame.width_px, frame.height_px)

    def push(self, data: bytes, path: str, mode: int) -> None:
        """Write a file; raises doai.phone.files.FileError."""
        model = self.model
        model.files.make_folder(path.rpartition("/")[0] or "/", parents=True)
        model.files.write(path, data, int(model.wall_s(trio.current_time())), mode=mode)

    async def run(self, command: str, stdin: bytes, take: Callable[[bytes], None] | None = None) -> CommandOutput:
        """Run a command line on the model, taking the time it takes; raises RebootedError.

        ``take`` is given stdout as it comes; then the answer has none.
        """
        session = Session(self.model, trio.current_time(), _PROGRAMS)
        out, err = bytearray(), bytearray()
        answer, left = b"", stdin
        with closing(session.run(command)) as running:
            while True:
                session.now_s = trio.current_time()
                try:
                    effect: Effect = running.send(answer) if answer else next(running)
                except StopIteration as end:
                    return CommandOutput(bytes(out), bytes(err), int(end.value))
                answer = b""
                if isinstance(effect, Output):
                    if effect.fd == STDOUT:
                        (take or out.extend)(effect.data)
                    else:
                        err.extend(effect.data)
                elif isinstance(effect, Wait):
                    await trio.sleep(effect.duration_s)
                elif isinstance(effect, Read):
                    answer, left = left, b""
                else:
                    raise RebootedError(effect.reason)


def _screencap(call: Call) -> int:
    """`screencap [-p] [FILE]` without Pillow."""
    frame = call.device.frame
    data = picture_of(frame.width_px, frame.height_px)
    paths = operands(call.words, "-d")
    if not paths:
        call.out_bytes(data)
        return 0
    try:
        call.device.files.write(paths[0], data, int(call.device.wall_s(call.now_s)))
    except FileError as error:
        call.err(f"Error opening file: {paths[0]} ({error})")
        return 1
    return 0


_PROGRAMS: Final[Mapping[str, Program]] = MappingProxyType({**TABLE, "screencap": _screencap})
