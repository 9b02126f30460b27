"""One connection's requests and answers: one request at a time, and nothing is taken for its answer that is not;
pure (step 9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from doai.drivers.xiaowei.answers import Answer, AnswerError, RefusedError, StrayError, parse_answer
from doai.drivers.xiaowei.marked import MarkedError
from doai.errors import LocalProtocolError

T = TypeVar("T")


class Question(Generic[T]):
    """A request as text and how its answer is read: ``read`` raises StrayError for another's, AnswerError or
    MarkedError for one that can not be used."""

    __slots__ = ("read", "text")

    def __init__(self, text: str, read: Callable[[Answer], T]) -> None:
        self.text = text
        self.read = read


class Counts(msgspec.Struct):
    """What was thrown away, of all connections."""

    late: int = 0
    """Answers to requests that nobody waited for any more."""
    stray: int = 0
    """Messages that nobody asked for, or that answer something else."""


class Pending(Generic[T]):
    """A request in flight, and what came for it."""

    def __init__(self, question: Question[T]) -> None:
        self._question = question
        self._found: list[T] = []
        self.error: Exception | None = None

    @property
    def settled(self) -> bool:
        return bool(self._found) or self.error is not None

    def take(self, message: str | bytes) -> None:
        """Read a message; raises StrayError when it answers something else."""
        try:
            self._found.append(self._question.read(parse_answer(message)))
        except StrayError:
            raise
        except (AnswerError, MarkedError) as error:
            self.error = error

    def result(self) -> T:
        """Return what was found, or raise the error."""
        if self.error is not None:
            raise self.error
        return self._found[0]


class Exchange:
    """The request that is in flight on a connection, if any."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._pending: Pending[Any] | None = None
        self.owed = False
        """An answer may still come that nobody waits for: the connection is fit for no other request."""

    def ask(self, question: Question[T]) -> Pending[T]:
        """A request is about to be sent. Raises LocalProtocolError while another one is in flight, or owed."""
        if self._pending is not None or self.owed:
            raise LocalProtocolError("a request is in flight on this connection already")
        pending = Pending(question)
        self._pending = pending
        return pending

    def take(self, message: str | bytes) -> bool:
        """A message came; returns whether it settled the request in flight."""
        pending = self._pending
        if pending is None or pending.settled:
            if self.owed:
                self._counts.late += 1
                self.owed = False
            else:
                self._counts.stray += 1
            return False
        try:
            pending.take(message)
        except StrayError:
            self._counts.stray += 1
            return False
        return True

    def end(self, error: Exception) -> None:
        """The connection is gone: what is in flight is settled with an error."""
        if self._pending is not None and not self._pending.settled:
            self._pending.error = error

    def leave(self) -> None:
        """Nobody waits for the request in flight any more.

        Its answer is owed when none came; also when one came that could not be read: the true one may follow.
        """
        pending = self._pending
        if pending is not None:
            unreadable = pending.error is not None and not isinstance(pending.error, RefusedError)
            self.owed = unreadable or not pending.settled
        self._pending = None
