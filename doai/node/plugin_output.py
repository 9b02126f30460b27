"""What a plug-in's process prints, in the node's log without the secrets of what it performs (step 8)."""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

import trio

from doai.node.mask import Mask

MASKS_KEPT: Final = 200
"""What a try printed may be read when its task has ended: secrets of the last tasks are known still."""
LINE_MAX: Final = 2_000
"""Characters of a line that are logged, counted when its secrets are masked."""
KEPT_BYTES_MAX: Final = 64 * 1024
"""Of a line whose end has not come; what follows would be cut anyway."""
_log: Final = logging.getLogger(__name__)


class PluginOutput:
    """What one process prints."""

    def __init__(self, name: str) -> None:
        """``name`` is the plug-in's."""
        self._name = name
        self._masks: deque[Mask] = deque(maxlen=MASKS_KEPT)

    def add_mask(self, mask: Mask) -> None:
        """The process is given secrets."""
        if mask not in self._masks:
            self._masks.append(mask)

    async def read(self, stream: trio.abc.ReceiveStream) -> None:
        """Log line by line until the stream ends, the last one also without its end."""
        kept = b""
        async with stream:
            while data := await stream.receive_some():
                *lines, kept = (kept + bytes(data)).split(b"\n")
                kept = kept[:KEPT_BYTES_MAX]
                for line in lines:
                    self._log_line(line)
        self._log_line(kept)

    def _log_line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        for mask in self._masks:
            text = mask.text(text)
        if text:
            _log.info("plug-in %s: %s", self._name, text[:LINE_MAX])
