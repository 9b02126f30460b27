"""Brings the bytes of stored files from the admin: ``GET {admin_url}/api/v1/contents/{sha256}`` (step 8).

A transfer that breaks goes on where it stopped; what arrived is compared with its SHA-256 before anybody sees it.
"""

from __future__ import annotations

import hashlib
import os
import random
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Final, cast

import httpx
import msgspec
import trio

from doai.backoff import Backoff
from doai.errors import ErrorClass, StepError
from doai.messages.work import FilePin
from doai.node.steps.base import step_failed

CHUNK_BYTES: Final = 256 * 1024
"""Written at once: one thread hop a chunk."""
TRIES: Final = 6
"""In a row without a single byte: with the pauses some ten seconds, in which an admin starts again."""
DAMAGED_MAX: Final = 2
"""A file that arrived damaged twice is damaged where it comes from."""
BACKOFF: Final = Backoff(first_s=0.25, longest_s=4.0)
_TIMEOUTS: Final = httpx.Timeout(connect=5.0, read=20.0, write=10.0, pool=None)
_THREADS: Final = 4

_OK: Final = 200
_PARTIAL: Final = 206
_RANGE_NOT_SATISFIABLE: Final = 416
_TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Broken(Exception):
    """The transfer ended early; ``str(error)`` says how."""


class _Draft:
    """The part of a file that has arrived; its methods block."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self.size_bytes = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self.size_bytes += len(chunk)

    def restart(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.size_bytes = 0
        self._hash = hashlib.sha256()

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class Fetcher:
    """Fetches from one admin in the name of one node."""

    def __init__(
        self,
        admin_url: str,
        secret: str,
        node_id: str,
        *,
        tls: ssl.SSLContext | None = None,
        backoff: Backoff = BACKOFF,
        random01: Callable[[], float] = random.random,
    ) -> None:
        """``tls`` verifies the admin's certificate; None = with the system's authorities."""
        self._base_url = f"{admin_url.rstrip('/')}/api/v1/contents/"
        self._headers = {"X-Node-Id": node_id, "X-Node-Auth": secret, "Accept-Encoding": "identity"}
        self._tls = tls or True
        self._backoff = backoff
        self._random01 = random01
        self._threads = trio.CapacityLimiter(_THREADS)

    async def fetch(self, pin: FilePin, path: Path) -> None:
        """Write the file to the path, verified and synced.

        Raises StepError (class infrastructure): file_unavailable, file_refused, file_damaged; and OSError.
        """
        draft = await trio.to_thread.run_sync(_Draft, path, limiter=self._threads)
        try:
            # trust_env: a proxy or a .netrc of the host must not see the node's secret.
            async with httpx.AsyncClient(verify=self._tls, timeout=_TIMEOUTS, trust_env=False) as client:
                await self._fetch_whole(client, pin, draft)
            await trio.to_thread.run_sync(draft.sync, limiter=self._threads)
        finally:
            draft.close()

    async def _fetch_whole(self, client: httpx.AsyncClient, pin: FilePin, draft: _Draft) -> None:
        damaged = tries = 0
        while True:
            before = draft.size_bytes
            try:
                await self._transfer(client, pin, draft)
            except _Broken as error:
                tries = tries + 1 if draft.size_bytes <= before else 1
                if tries >= TRIES:
                    raise _failed(
                        "file_unavailable",
                        f"{pin.reference} could not be fetched from the admin at {self._base_url}: {error}; look "
                        "whether the admin runs.",
                    ) from None
                await trio.sleep(self._backoff.delay_s(tries, self._random01()))
                continue
            if draft.sha256 == pin.sha256:
                return
            damaged += 1
            if damaged >= DAMAGED_MAX:
                raise _failed(
                    "file_damaged",
                    f"{pin.reference} arrived {damaged} times with other bytes than were put (SHA-256 "
                    f"{draft.sha256} instead of {pin.sha256}): put the file again as a new version.",
                )
            draft.restart()

    async def _transfer(self, client: httpx.AsyncClient, pin: FilePin, draft: _Draft) -> None:
        """Go on where the draft ends; raises _Broken when the file is not whole then."""
        headers = self._headers
        if draft.size_bytes:
            headers = {**headers, "Range": f"bytes={draft.size_bytes}-"}
        try:
            async with client.stream("GET", self._base_url + pin.sha256, headers=headers) as response:
                await self._check(response, pin, draft)
                # Closed here: a generator that is left half-used ends somewhere else, when nobody expects it.
                parts = cast("AsyncGenerator[bytes]", response.aiter_raw(CHUNK_BYTES))
                async with aclosing(parts) as chunks:
                    async for chunk in chunks:
                        await self._take(chunk, pin, draft)
        except httpx.HTTPError as error:
            raise _Broken(f"{type(error).__name__}: {error}"[:300]) from None
        if draft.size_bytes != pin.size_bytes:
            raise _Broken(f"{draft.size_bytes} of its {pin.size_bytes} bytes arrived")

    async def _take(self, chunk: bytes, pin: FilePin, draft: _Draft) -> None:
        if draft.size_bytes + len(chunk) > pin.size_bytes:
            draft.restart()
            raise _Broken(f"more than its {pin.size_bytes} bytes arrived")
        await trio.to_thread.run_sync(draft.write, chunk, limiter=self._threads)

    async def _check(self, response: httpx.Response, pin: FilePin, draft: _Draft) -> None:
        """Make the draft fit what the answer begins with; raises _Broken or StepError when it has no bytes."""
        status = response.status_code
        if status == _PARTIAL and response.headers.get("Content-Range", "").startswith(
            f"bytes {draft.size_bytes}-"
        ):
            return
        if status in (_OK, _PARTIAL, _RANGE_NOT_SATISFIABLE):
            draft.restart()
            if status == _OK:
                return
            raise _Broken(f"the admin answered HTTP {status} with another part than was asked for")
        said = await _reason(response)
        if status in _TRY_AGAIN:
            raise _Broken(f"HTTP {status}, {said}")
        raise _failed(
            "file_refused", f"The admin does not give {pin.reference} to this node: HTTP {status}, {said}."
        )


async def _reason(response: httpx.Response) -> str:
    """Return the sentence of a problem+json, else the status in words."""
    try:
        await response.aread()
        detail = msgspec.json.decode(response.content, type=dict[str, object]).get("detail")
    except (msgspec.MsgspecError, httpx.HTTPError):
        detail = None
    text = detail if isinstance(detail, str) else response.reason_phrase
    return "".join(character if character.isprintable() else " " for character in text)[:300]


def _failed(code: str, message: str) -> StepError:
    return step_failed(ErrorClass.INFRASTRUCTURE, code, message)
