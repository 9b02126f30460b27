"""Follows what the vendor's program lists, asks phones who they are and for signs of life (step 9).

That the program lists a phone proves its connection; only an answer of its own proves that the phone works. The two
are told apart, each with a time of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import trio

from doai.backoff import Backoff
from doai.drivers.adb.listing import IDENTITY_COMMAND, parse_identity
from doai.drivers.watching import PAUSE_AFTER_REFUSAL_S, watch_over
from doai.drivers.xiaowei import vocabulary
from doai.drivers.xiaowei.answers import AnswerError, Listing, read_listing, request
from doai.drivers.xiaowei.client import Client, Connection, CutError, UnreachableError
from doai.drivers.xiaowei.commands import Commands
from doai.drivers.xiaowei.config import HANGS_AFTER, PROBE_LIMIT, PROVE_EVERY_S, XiaoweiConfig
from doai.drivers.xiaowei.exchange import Question
from doai.drivers.xiaowei.marked import MarkedError
from doai.drivers.xiaowei.phones import Phone, Phones

_BACKOFF: Final = Backoff(first_s=0.2, factor=2.0, longest_s=10.0)
"""The program is on this host: a try costs nothing, and people wait for it to be there again."""

_LIST: Final = Question(request(vocabulary.LIST), read_listing)

Report = Callable[[str, str], None]
"""Called with the code and the sentence of a DriverNotice."""


class Follower:
    """Keeps `Phones` true."""

    def __init__(
        self, config: XiaoweiConfig, client: Client, commands: Commands, phones: Phones, report: Report
    ) -> None:
        self._config = config
        self._client = client
        self._commands = commands
        self._phones = phones
        self._report = report
        self._limit = trio.CapacityLimiter(PROBE_LIMIT)
        self._random = random.Random()
        self._misses = 0
        self._failures = 0
        self._proven_s = float("-inf")
        self._unreadable = 0
        self.connects = 0

    async def follow(self, nursery: trio.Nursery) -> None:
        """Ask for the list for ever, over restarts of the program; phones are watched by tasks in ``nursery``."""
        while True:
            try:
                connection = await self._client.connect()
            except UnreachableError as error:
                await self._lost("xiaowei_down", f"can not be reached ({error})", "start it on this host")
                continue
            self.connects += 1
            try:
                why = await self._ask_again_and_again(connection, nursery)
            finally:
                self._client.retire(connection)
            if self._misses >= HANGS_AFTER:
                await self._lost("xiaowei_hung", f"does not tell its phones ({why})", "restart it if this lasts")
            else:
                await trio.sleep(min(self._config.list_every_s, _BACKOFF.first_s))

    async def _ask_again_and_again(self, connection: Connection, nursery: trio.Nursery) -> str:
        """Ask over one connection; returns why it is of no more use."""
        while True:
            why = await self._ask(connection, nursery)
            if why or not connection.fit:
                self._misses += 1
                return why or "it closed the connection"
            self._misses = self._failures = 0
            if trio.current_time() - self._proven_s >= PROVE_EVERY_S:
                self._proven_s = trio.current_time()
                self._phones.prove_listed()
            await trio.sleep(self._config.list_every_s)

    async def _ask(self, connection: Connection, nursery: trio.Nursery) -> str:
        """Ask for the list once; returns why there is none, empty when there is."""
        with trio.move_on_after(self._config.list_timeout_s):
            try:
                listing = await connection.ask(_LIST)
            except (AnswerError, CutError) as error:
                return str(error)
            self._say_unreadable(listing)
            for phone in self._phones.update(listing):
                self._watch(phone, nursery)
            return ""
        return f"no list within {self._config.list_timeout_s:g} s"

    async def _lost(self, code: str, what: str, do: str) -> None:
        self._failures += 1
        if self._failures == 1:
            self._report(
                code, f"the vendor's program at {self._client.url} {what}: {do}; it is tried again until it answers"
            )
        self._client.drop()
        self._phones.lose(what)
        await trio.sleep(_BACKOFF.delay_s(self._failures, self._random.random()))

    def _say_unreadable(self, listing: Listing) -> None:
        if listing.unreadable > self._unreadable:
            self._report(
                "xiaowei_list_unreadable",
                f"{listing.unreadable} entries in the list of the vendor's program can not be read and are left "
                "out: its version may be another than the one that doai knows",
            )
        self._unreadable = listing.unreadable

    def _watch(self, phone: Phone, nursery: trio.Nursery) -> None:
        missed, random01 = self._phones.missed, self._random.random
        nursery.start_soon(watch_over, phone, self._probe, missed, self._config, self._limit, random01)

    async def _probe(self, phone: Phone) -> str:
        """Ask once; returns why it counts as missed, empty when it does not."""
        began_s = trio.current_time()
        timeout_s = self._config.probe_timeout_s
        known = phone.info is not None
        with trio.move_on_after(timeout_s):
            try:
                output = await self._commands.run(phone, "true" if known else IDENTITY_COMMAND, clean=not known)
            except (UnreachableError, CutError):
                # No fault of the phone.
                await trio.sleep(PAUSE_AFTER_REFUSAL_S)
                return ""
            except (AnswerError, MarkedError) as error:
                return str(error)
            if known:
                self._phones.answered(phone)
                return ""
            info = parse_identity(output.text, phone.listed.key)
            if info is None:
                return "it does not tell its serial yet"
            self._phones.identified(phone, info)
            return ""
        return "" if phone.last_answer_s >= began_s else f"no sign of life within {timeout_s:g} s"
