"""The upload of artifacts to the admin over HTTP, tried again until it has them (step 10).

``PUT {admin_url}/api/v1/artifacts/{path}``. 201 (stored) and 200 (it had the same bytes) end an entry; a refusal
that can not change (409: other bytes under this path, 400, 403, 413 ...) sets it aside with the reason; anything
else is tried again for ever. Without an answer of the admin itself all uploads pause together, so that a dead admin
costs one try a pause and not one an entry; an answer about one entry delays that entry only.
"""

from __future__ import annotations

import email.utils
import logging
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote, urlsplit

import httpx
import msgspec
import trio

from doai.backoff import Backoff
from doai.errors import ConfigError, StepError
from doai.node.spool import Refusal, Spool, SpoolEntry

UPLOADS_AT_ONCE: Final = 4
"""Hides the round trip on a slow link; more would only share the same line and the admin's disk."""
CHUNK_BYTES: Final = 256 * 1024
"""Read and sent at once: one thread hop a chunk, and a node holds at most this for each upload."""
BACKOFF: Final = Backoff(first_s=0.5, longest_s=30.0)
"""An admin that comes back is used within half a minute; a try costs it next to nothing."""
RETRY_AFTER_S_MAX: Final = 600.0
"""Longest pause that an answer may ask for; a wrong clock or a typo must not stop uploads for a day."""
REASON_BYTES_MAX: Final = 2048
"""How much of an answer is read for its reason."""
ANSWER_S_MAX: Final = 60.0
"""Time of a try without the transfer itself: connecting, and the admin's sync to disk."""
BYTES_PER_S_MIN: Final = 32 * 1024
"""A transfer that is slower counts as stuck."""

_STORED: Final = frozenset({200, 201})
_REFUSED: Final = frozenset({400, 403, 409, 411, 413, 414, 415, 422})
"""The same bytes under the same path would be refused again."""
_ALL_PAUSE: Final = frozenset({401, 408, 425, 429, 502, 503, 504})
"""Answers about the admin (or our right to talk to it), not about the entry."""

_UNREADABLE: Final = -1
"""In place of a status: the node's own disk failed, which may pass; it says nothing of the admin."""

_TIMEOUTS: Final = httpx.Timeout(connect=10.0, read=ANSWER_S_MAX, write=30.0, pool=None)
_log: Final = logging.getLogger(__name__)

StoredHook = Callable[[SpoolEntry], Awaitable[None]]
"""Called before the entry is removed, so that a crash in between repeats it rather than losing it: the same entry
may come twice."""
RefusedHook = Callable[[SpoolEntry], Awaitable[None]]
"""Called after the entry was set aside; ``entry.refusal`` says why."""


class UploadStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the uploader was made."""

    stored: int
    refused: int
    tries_failed: int
    reachable: bool
    """Whether the admin answered the last time."""


class _Answer(msgspec.Struct, frozen=True):
    """What came of one try; status 0: no answer."""

    status: int
    reason: str
    retry_after_s: float = 0.0


class Uploader:
    """Uploads what is in the spool, a few entries at once, until it is cancelled."""

    def __init__(
        self,
        spool: Spool,
        admin_url: str,
        secret: str,
        node_id: str,
        *,
        on_stored: StoredHook | None = None,
        on_refused: RefusedHook | None = None,
        tls: ssl.SSLContext | None = None,
        backoff: Backoff = BACKOFF,
        random01: Callable[[], float] = random.random,
    ) -> None:
        """``tls`` verifies the admin's certificate; None = with the system's authorities.

        Raises ConfigError when the address or the secret can not be used.
        """
        parts = urlsplit(admin_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ConfigError(
                "the admin's address must be http:// or https:// with a host, e.g. http://10.0.0.5:8080"
            )
        if not secret or not secret.isascii() or not secret.isprintable():
            raise ConfigError("the node secret must be printable ASCII and not empty: it is sent as an HTTP header")
        self._spool = spool
        self._base_url = f"{admin_url.rstrip('/')}/api/v1/artifacts/"
        self._secret = secret
        self._tls = tls or True
        self._node_id = node_id
        self._on_stored = on_stored
        self._on_refused = on_refused
        self._backoff = backoff
        self._random01 = random01
        # Their own limiter: calls that hang on a phone may fill the default one.
        self._threads = trio.CapacityLimiter(UPLOADS_AT_ONCE)
        self._resume_at = -float("inf")
        self._pauses = 0
        self._tries: dict[str, int] = {}
        self._reachable = True
        self._stored = self._refused = self._tries_failed = 0

    async def run(self) -> None:
        """Upload for ever; cancelling it loses nothing, and it can be run again."""
        limits = httpx.Limits(max_connections=UPLOADS_AT_ONCE, max_keepalive_connections=UPLOADS_AT_ONCE)
        # trust_env: a proxy or a .netrc of the host must not see the node's secret.
        async with (
            httpx.AsyncClient(verify=self._tls, timeout=_TIMEOUTS, limits=limits, trust_env=False) as client,
            trio.open_nursery() as nursery,
        ):
            for _ in range(UPLOADS_AT_ONCE):
                nursery.start_soon(self._work, client)

    def statistics(self) -> UploadStatistics:
        """Count what was done."""
        return UploadStatistics(
            stored=self._stored,
            refused=self._refused,
            tries_failed=self._tries_failed,
            reachable=self._reachable,
        )

    async def _work(self, client: httpx.AsyncClient) -> None:
        while True:
            entry = await self._spool.take()
            try:
                await trio.sleep_until(self._resume_at)
                delay_s = await self._try(client, entry)
            except BaseException:
                self._spool.give_back(entry)
                raise
            if delay_s is not None:
                self._spool.give_back(entry, delay_s=delay_s)

    async def _try(self, client: httpx.AsyncClient, entry: SpoolEntry) -> float | None:
        """Try once; return None when the entry has ended, else the seconds until it may be taken again."""
        damage = await self._damage(entry)
        answer = _Answer(0, damage) if damage else await self._put(client, entry)
        try:
            if answer.status in _STORED:
                await self._end_stored(entry)
                return None
            if damage or answer.status in _REFUSED:
                await self._end_refused(entry, answer)
                return None
        except StepError as error:
            _log.error("the spool entry of %s can not be ended: %s", entry.path, error, extra=_fields(entry))
            return self._backoff.longest_s
        self._tries_failed += 1
        if answer.status == 0 or answer.status in _ALL_PAUSE:
            self._pause_all(answer)
            return 0.0
        return self._delay_one(entry, answer)

    async def _end_stored(self, entry: SpoolEntry) -> None:
        self._answered()
        if self._on_stored is not None:
            await self._on_stored(entry)
        await self._spool.stored(entry)
        self._tries.pop(entry.entry_id, None)
        self._stored += 1
        _log.info("artifact stored: %s (%d bytes)", entry.path, entry.size_bytes, extra=_fields(entry))

    async def _end_refused(self, entry: SpoolEntry, answer: _Answer) -> None:
        if answer.status:
            self._answered()
        refused = await self._spool.refuse(entry, Refusal(status=answer.status, reason=answer.reason))
        self._tries.pop(entry.entry_id, None)
        self._refused += 1
        _log.error(
            "artifact refused: %s, HTTP %d, %s; it is kept in spool/refused",
            entry.path,
            answer.status,
            answer.reason,
            extra=_fields(entry),
        )
        if self._on_refused is not None:
            await self._on_refused(refused)

    def _pause_all(self, answer: _Answer) -> None:
        now = trio.current_time()
        if now < self._resume_at:
            return  # another upload of this round has set the pause
        self._pauses += 1
        delay_s = max(self._backoff.delay_s(self._pauses, self._random01()), answer.retry_after_s)
        self._resume_at = now + delay_s
        if self._reachable:
            self._reachable = False
            what = f"answers HTTP {answer.status}" if answer.status else "does not answer"
            _log.warning(
                "the admin at %s %s (%s): %d artifacts wait and uploads are tried again until it takes them",
                self._base_url,
                what,
                answer.reason,
                self._spool.statistics().waiting,
                extra={"node_id": self._node_id},
            )

    def _delay_one(self, entry: SpoolEntry, answer: _Answer) -> float:
        if answer.status != _UNREADABLE:
            self._answered()
        tries = self._tries[entry.entry_id] = self._tries.get(entry.entry_id, 0) + 1
        if tries == 1:
            _log.warning(
                "artifact not stored yet: %s, HTTP %d, %s; it is tried again until it is",
                entry.path,
                max(answer.status, 0),
                answer.reason,
                extra=_fields(entry),
            )
        return max(self._backoff.delay_s(tries, self._random01()), answer.retry_after_s)

    def _answered(self) -> None:
        self._pauses = 0
        if not self._reachable:
            self._reachable = True
            _log.warning("the admin at %s answers again", self._base_url, extra={"node_id": self._node_id})

    async def _damage(self, entry: SpoolEntry) -> str:
        """Say what is wrong with the entry's file; empty when its length is right (the admin checks the hash)."""
        file = self._spool.file_of(entry)
        try:
            size_bytes = (await trio.to_thread.run_sync(file.stat, limiter=self._threads)).st_size
        except FileNotFoundError:
            return "the spooled file is gone from the node's disk"
        except OSError:
            return ""  # reading it will say what is wrong, and that is tried again
        if size_bytes != entry.size_bytes:
            return f"the spooled file has {size_bytes} bytes instead of {entry.size_bytes}"
        return ""

    async def _put(self, client: httpx.AsyncClient, entry: SpoolEntry) -> _Answer:
        headers = {
            "Content-Type": entry.media_type,
            "Content-Length": str(entry.size_bytes),
            "X-Content-Sha256": entry.sha256,
            "X-Node-Auth": self._secret,
            "X-Node-Id": self._node_id,
            "X-Run-Id": entry.run_id,
            "X-Task-Id": entry.task_id,
            "X-Step-Id": quote(entry.step_id, safe="/"),
            "X-Device-Serial": entry.device_serial,
        }
        url = self._base_url + quote(entry.path, safe="/:")
        request = client.build_request("PUT", url, headers=headers)
        request.stream = body = _FileBody(self._spool.file_of(entry), self._threads)
        try:
            with trio.fail_after(ANSWER_S_MAX + entry.size_bytes / BYTES_PER_S_MIN):
                response = await client.send(request, stream=True)
                try:
                    reason = await _reason(response)
                    return _Answer(response.status_code, reason, _retry_after_s(response.headers))
                finally:
                    await response.aclose()
        except trio.TooSlowError:
            return _Answer(0, "the upload took too long")
        except httpx.HTTPError as error:
            return _Answer(0, f"{type(error).__name__}: {error}"[:300])
        except OSError as error:
            return _Answer(_UNREADABLE, f"the spooled file can not be read: {error.strerror or error}")
        finally:
            await body.aclose()


class _FileBody(httpx.AsyncByteStream):
    """A file as the body of a request. No generator: httpx leaves one half-used when the connection breaks."""

    def __init__(self, file: Path, threads: trio.CapacityLimiter) -> None:
        self._path = file
        self._threads = threads
        self._file: BinaryIO | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await trio.to_thread.run_sync(self._read, limiter=self._threads)
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        if self._file is not None:
            self._file.close()

    def _read(self) -> bytes:
        if self._file is None:
            self._file = self._path.open("rb")
        return self._file.read(CHUNK_BYTES)


async def _reason(response: httpx.Response) -> str:
    """Read why the admin answered so: the ``detail`` of a problem+json, or its text."""
    data = b""
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) >= REASON_BYTES_MAX:
            break
    try:
        problem: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
        text = str(problem.get("detail") or problem.get("title") or "")
    except msgspec.MsgspecError:
        text = data.decode("utf-8", "replace")
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable.strip()[:300] or response.reason_phrase


def _retry_after_s(headers: httpx.Headers) -> float:
    """Read Retry-After (RFC 9110, 10.2.3): seconds, or a date, which is compared with the answer's own Date."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return min(float(value), RETRY_AFTER_S_MAX)
    until = email.utils.parsedate_tz(value)
    sent = email.utils.parsedate_tz(headers.get("Date", ""))
    if until is None or sent is None:
        return 0.0
    seconds = email.utils.mktime_tz(until) - email.utils.mktime_tz(sent)
    return min(max(float(seconds), 0.0), RETRY_AFTER_S_MAX)


def _fields(entry: SpoolEntry) -> dict[str, str]:
    return {
        "run_id": entry.run_id,
        "node_id": entry.node_id,
        "device_serial": entry.device_serial,
        "task_id": entry.task_id,
    }
