"""Connections of clients that a handler can cut: one that takes no bytes would be waited for for ever (step 14)."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from typing import Any, Final, cast

from litestar import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

_CUT: Final = "doai.cut"
"""Key of the ASGI scope."""

_log: Final = logging.getLogger(__name__)


class Connection(H11Protocol):
    """uvicorn's, whose requests carry a way to end it without waiting for what was written."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        served = self.app

        async def serve(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            scope[_CUT] = self.cut
            await served(cast(Any, scope), receive, send)

        self.app = cast(Any, serve)

    def cut(self) -> None:
        """Drop the connection and what it has not sent."""
        if not self.transport.is_closing():
            _log.info("the connection of %s took no bytes: it is cut", self.client)
        self.transport.abort()


def cut_of(request: Request[Any, Any, Any]) -> Callable[[], None]:
    """Return what cuts a request's connection; it does nothing where there is none, as in a test."""
    found: Callable[[], None] | None = cast(dict[str, Any], request.scope).get(_CUT)
    return found or (lambda: None)
