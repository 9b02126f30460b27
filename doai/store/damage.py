"""Says in one sentence that a file holds what doai never wrote (steps 3, 10)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from doai.errors import DoaiError, StoreError

_SHOWN_MAX: Final = 200
"""Characters of what was found, in the sentence."""


@contextmanager
def told_damage(path: Path) -> Iterator[None]:
    """Within it, a value that can not be understood is a StoreError: a state that no table has, JSON that is none.

    Only for what reads rows: there a wrong value is the disk's, not a mistake of the code.
    """
    try:
        yield
    except StoreError:
        raise
    except (LookupError, ValueError, TypeError, msgspec.MsgspecError, DoaiError) as error:
        found = f"{type(error).__name__}: {error}"[:_SHOWN_MAX]
        raise StoreError(
            f"{path} holds a value that doai never wrote ({found}): it is damaged, restore it from a backup"
        ) from error
