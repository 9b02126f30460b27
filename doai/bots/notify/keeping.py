"""Where outlets are kept: one row a channel, one an incident it told of, one an event that was taken (step 14).

What one event changes is written at once, with the mark that it was taken: an event that is given again after a
crash changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from doai.bots.notify.channels import About, Channel
from doai.bots.notify.notices import Notice
from doai.bots.notify.outlet import Message, Outlet, Told, settle, take, take_incident
from doai.bots.state import State

EVENTS_MARKED: Final = 2000
"""More events than a bot holds at once: older ones were acknowledged."""
PRUNES_AT: Final = EVENTS_MARKED + 500
_OUTLET: Final = "outlet/"
_TAKEN: Final = "taken/"
_GIVEN_UP: Final = "given-up/"


class Keeping:
    """The state of the bot as this bot reads and writes it."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def outlet(self, channel: str) -> Outlet:
        """Return what a channel has to tell."""
        found = await self._state.get(_OUTLET + channel, type=Outlet)
        return Outlet() if found is None else found

    async def outlets(self) -> dict[str, Outlet]:
        """Return all that were ever used, by channel."""
        found = await self._state.list(_OUTLET, type=Outlet)
        return {key.removeprefix(_OUTLET): outlet for key, outlet in found.items()}

    async def keep(self, channel: str, outlet: Outlet, given_up: Message | None = None) -> None:
        """Write a channel's row, and with it the message that is given up."""
        rows: dict[str, object] = {_OUTLET + channel: outlet}
        if given_up is not None:
            rows[_GIVEN_UP + given_up.message_id] = (channel, given_up)
        await self._state.change(rows)

    async def notice(self, position: int, notice: Notice, channels: Iterable[Channel], now_ms: int) -> bool:
        """Let channels tell of a notice; returns False for an event that was taken before."""
        mark = f"{_TAKEN}{position:019}"
        if position and await self._state.get(mark) is not None:
            return False
        rows: dict[str, object] = {mark: now_ms} if position else {}
        for channel in channels:
            outlet = await self.outlet(channel.name)
            if notice.about is About.INCIDENTS:
                key = _incident_key(channel.name, notice.thing)
                told = await self._state.get(key, type=Told)
                outlet, rows[key] = take_incident(outlet, told, notice, channel.settle_s, now_ms)
            else:
                outlet = take(outlet, notice, now_ms)
            rows[_OUTLET + channel.name] = outlet
        await self._state.change(rows)
        return True

    async def settle(self, channel: Channel, now_ms: int) -> Outlet:
        """Let a channel tell over what stayed over."""
        told = await self._state.list(_incidents_of(channel.name), type=Told)
        outlet, dropped = settle(await self.outlet(channel.name), told, channel.settle_s, now_ms)
        await self._state.change({_OUTLET + channel.name: outlet, **dict.fromkeys(dropped)})
        return outlet

    async def prune(self) -> None:
        """Forget marks of events that can not be given again."""
        while len(marks := sorted(await self._state.list(_TAKEN))) > PRUNES_AT:  # a list is cut at its own bound
            await self._state.change(dict.fromkeys(marks[:-EVENTS_MARKED]))

    async def given_up(self) -> list[tuple[str, Message]]:
        """Return messages that people are not told of yet, with their channels."""
        found = await self._state.list(_GIVEN_UP, type=tuple[str, Message])
        return list(found.values())

    async def handed_over(self, message: Message) -> None:
        """People know of a message that was given up."""
        await self._state.drop(_GIVEN_UP + message.message_id)

    async def forget(self, channel: str) -> None:
        """A channel is gone from the configuration, and what it had to tell with it."""
        told = await self._state.list(_incidents_of(channel))
        await self._state.change(dict.fromkeys([_OUTLET + channel, *told]))


def _incidents_of(channel: str) -> str:
    return f"incident/{channel}/"


def _incident_key(channel: str, thing: str) -> str:
    digest = hashlib.blake2b(thing.encode(), digest_size=12).hexdigest()
    return _incidents_of(channel) + digest
