"""What a bot's handlers keep over restarts: small values by key, on disk when `put` returns (step 14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
import trio

from doai.bots.errors import BotError
from doai.errors import StoreUnavailable
from doai.store.bot_state import BotStateFile

KEY_CHARS_MAX: Final = 200
VALUE_BYTES_MAX: Final = 64 * 1024
"""It is for what a handler must not forget, not for pictures."""
LIST_MAX: Final = 10_000
_T = TypeVar("_T")
_R = TypeVar("_R")
_encode: Final = msgspec.msgpack.Encoder().encode


class State:
    """A bot's keys and values. Values are what msgspec can write: numbers, texts, lists, mappings, Structs."""

    def __init__(self, open_file: Callable[[], BotStateFile], *, in_thread: bool) -> None:
        """``open_file`` is called at the first use. ``in_thread``: it waits for a disk."""
        self._open_file = open_file
        self._file: BotStateFile | None = None
        self._in_thread = in_thread
        self._lock = trio.Lock()

    async def get(self, key: str, default: _T | None = None, *, type: type[_T] | Any = Any) -> Any:  # noqa: A002
        """Return a value, read as ``type``; ``default`` when there is none. Raises BotError when it is another."""
        data = await self._do(lambda file: file.get(_checked(key)))
        return default if data is None else _read(key, data, type)

    async def put(self, key: str, value: object) -> None:
        """Keep a value in place of the one before. Raises BotError for one that is too large or no data."""
        await self.change({key: value})

    async def drop(self, key: str) -> None:
        """Forget a value."""
        await self._do(lambda file: file.apply({_checked(key): None}))

    async def change(self, values: dict[str, object]) -> None:
        """Keep several values: all of them or none. None forgets one."""
        entries = {_checked(key): None if value is None else _written(key, value) for key, value in values.items()}
        await self._do(lambda file: file.apply(entries))

    async def list(self, prefix: str = "", *, type: type[_T] | Any = Any) -> dict[str, Any]:  # noqa: A002
        """Return the values whose keys begin so, by key; 10,000 at most."""
        entries = await self._do(lambda file: file.list(prefix, LIST_MAX))
        return {key: _read(key, data, type) for key, data in entries}

    async def hold(self) -> bool:
        """Open the file, which no other process has then; False = another one has it."""
        try:
            await self._do(lambda file: None)
        except StoreUnavailable:
            return False
        return True

    async def _do(self, work: Callable[[BotStateFile], _R]) -> _R:
        async with self._lock:
            if not self._in_thread:
                await trio.lowlevel.checkpoint()
                return self._work(work)
            return await trio.to_thread.run_sync(self._work, work)

    def _work(self, work: Callable[[BotStateFile], _R]) -> _R:
        if self._file is None:
            self._file = self._open_file()
        return work(self._file)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _checked(key: str) -> str:
    if not 0 < len(key) <= KEY_CHARS_MAX:
        raise BotError(f"a key of the state has 1 to {KEY_CHARS_MAX} characters, {key[:40]!r} has {len(key)}")
    return key


def _written(key: str, value: object) -> bytes:
    try:
        data = _encode(value)
    except (TypeError, OverflowError) as error:
        raise BotError(f"the value of {key} can not be kept: {error}") from None
    if len(data) > VALUE_BYTES_MAX:
        raise BotError(f"the value of {key} has {len(data)} bytes, the most is {VALUE_BYTES_MAX}: use a file")
    return data


def _read(key: str, data: bytes, wanted: Any) -> Any:
    try:
        return msgspec.msgpack.decode(data, type=wanted)
    except msgspec.ValidationError as error:
        raise BotError(f"the value of {key} is another than asked for: {error}") from None
