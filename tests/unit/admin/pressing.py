"""A person who presses a button of a page, without a site around: the page is drawn from what a reader says."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Mapping
from typing import Any

from litestar import Response

from doai.admin.access import Caller
from doai.admin.dashboard.visit import Visit
from doai.admin.dashboard.wording import Wording
from doai.admin.services import Done
from doai.admin.sessions import COOKIE, csrf_token
from doai.envelope import Message

SESSION = "s"
NO_NAMES: Mapping[str, Any] = types.MappingProxyType({})


class Form(dict[str, str]):
    """Fields as the framework gives them; one of which there are several is a list."""

    def __init__(self, fields: Mapping[str, str], several: Mapping[str, list[str]]) -> None:
        super().__init__(fields)
        self._several = several

    def getall(self, name: str, default: list[str]) -> list[str]:
        return self._several.get(name, default)


class Pressed:
    """The request of a form."""

    def __init__(self, fields: Mapping[str, str], **several: list[str]) -> None:
        self.cookies = {COOKIE: SESSION}
        self._form = Form({"csrf": csrf_token(SESSION), **fields}, several)

    async def form(self) -> Form:
        return self._form


class Site:
    """What handlers reach: ``reader`` answers as a test says, and commands are kept with their keys."""

    def __init__(self, answer: Callable[[Any], Any] = lambda _: None, **reader: Any) -> None:
        self.asked: list[tuple[Any, str | None]] = []
        self._answer = answer
        self.reader = types.SimpleNamespace(last_position=_nothing_yet, **reader)
        self.mesh = types.SimpleNamespace(why_not_live=None)

    async def command_of(
        self, caller: Caller, payload: Message, subject: str, *, idempotency_key: str | None = None
    ) -> Done:
        await asyncio.sleep(0)  # others are under way meanwhile, as over the mesh
        self.asked.append((payload, idempotency_key))
        return Done(self._answer(payload), 1)

    @property
    def commands(self) -> list[Any]:
        return [payload for payload, _ in self.asked]


def press(
    handler: Any, site: Any, fields: Mapping[str, str], path: Mapping[str, Any] = NO_NAMES, **several: list[str]
) -> Response[Any]:
    """Send a form to a handler as an operator whose pages are English; raises what it raises.

    ``path``: what the address names.
    """
    visit = Visit(
        services=site,
        caller=Caller("ann", "operator", "dashboard"),
        csrf=csrf_token(SESSION),
        words=Wording("en"),
        theme="system",
        zone="UTC",
        path="/",
        query={},
        at_ms=1_700_000_000_000,
        is_answer=True,
    )
    answer: Response[Any] = asyncio.run(handler.fn(request=Pressed(fields, **several), visit=visit, **path))
    return answer


async def _nothing_yet() -> int:
    return 0
