"""What all changes of the broker's store have in common (step 3)."""

from __future__ import annotations

import msgspec


class StoreOp(msgspec.Struct, frozen=True, tag=True, array_like=True, gc=False):
    """Base of all changes; tagged, so that a batch can cross to a writer in another process.

    Data has no cycles, so no change is looked through for garbage: there are dozens a task.
    """
