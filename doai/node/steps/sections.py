"""Several shell commands in one round trip to the device, their outputs apart (step 8)."""

from __future__ import annotations

from typing import Final

from doai.drivers.base import Device

_MARK: Final = "--doai-section--"


async def run_sections(device: Device, *commands: str) -> list[str]:
    """Run commands one after the other and return what each wrote to stdout, stripped.

    Exit codes are not looked at: what is missing in an answer says more than a code that Android's tools often
    forget to set. A command that failed gives an empty text; the list is as long as ``commands``.
    """
    output = await device.shell(f"; echo {_MARK}; ".join(commands))
    parts = [part.strip() for part in output.text.split(_MARK)]
    return (parts + [""] * len(commands))[: len(commands)]
