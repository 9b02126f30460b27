"""What a run pins of its recipe, kept for the next run that asks for the same (step 2).

A script that makes a run a phone asks the same of one recipe a thousand times: to check parameters, to read
templates and file names, to encode bodies. All of that follows from recipe and wish alone.
"""

from __future__ import annotations

from typing import Final

import msgspec

from doai.codec import encode, raw
from doai.messages.commands import CreateRun
from doai.workflow.files import FileNeed, file_needs
from doai.workflow.language import Workflow
from doai.workflow.resolve import PinnedRun, pin_run

PINS_KEPT: Final = 16
"""Of a recipe: each has up to some 10 KB, and who asks for more different things asks for each only once."""
WISH_BYTES_KEPT: Final = 1024
"""A longer wish is made anew each time."""


class Pin(msgspec.Struct, frozen=True):
    """What follows from a recipe and a wish; nobody changes what is in it."""

    pinned: PinnedRun
    needs: list[FileNeed]
    params: msgspec.Raw
    """As Dispatches have them."""
    params_body: bytes
    """As rows have them, and the next one."""
    step_timeouts_body: bytes


class Pins:
    """Those of one recipe."""

    __slots__ = ("_known", "_workflow")

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._known: dict[bytes, Pin] = {}
        """By the wish, oldest first."""

    def of(self, create: CreateRun) -> Pin:
        """Return what a run pins; raises ParameterError with all mistakes."""
        wish = encode((create.params, create.step_timeouts_s, create.attempts))
        pin = self._known.get(wish)
        if pin is None:
            pin = self._make(create)
            if len(wish) <= WISH_BYTES_KEPT:
                if len(self._known) >= PINS_KEPT:
                    self._known.pop(next(iter(self._known)))
                self._known[wish] = pin
        return pin

    def _make(self, create: CreateRun) -> Pin:
        pinned = pin_run(
            self._workflow, create.params, step_timeouts_s=create.step_timeouts_s, attempts=create.attempts
        )
        return Pin(
            pinned=pinned,
            needs=file_needs(self._workflow, pinned.params),
            params=raw(pinned.params),
            params_body=msgspec.json.encode(pinned.params),
            step_timeouts_body=msgspec.json.encode(pinned.step_timeouts_s),
        )
