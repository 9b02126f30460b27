"""How bytes become a version of a stored file: wholly on disk, then named by the broker, or gone (step 2)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from doai.admin.access import Caller
from doai.admin.problems import CommandRefused
from doai.admin.receiving import Announced
from doai.admin.services import Done, Services
from doai.file_reference import FileName
from doai.messages.commands import StoreFile


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a file beside its bytes."""

    name: FileName
    """Without a version: the next number."""
    media_type: str
    origin: str = ""
    """What it was made from, for its story."""


async def store_file(
    services: Services, caller: Caller, about: About, announced: Announced, body: AsyncIterator[bytes]
) -> Done:
    """Store a version; the answer is the broker's FileStored. Raises what `FileFolder.receive` and a command do."""
    files = services.files
    async with files.receive(announced, body) as draft:
        await files.sync(draft)
        command = StoreFile(
            name=about.name.name,
            version=about.name.version or "",
            sha256=draft.sha256,
            size_bytes=draft.size_bytes,
            media_type=about.media_type,
            origin=about.origin,
        )
        async with files.naming:
            await files.place(draft)
            return await _name(services, caller, command)


async def _name(services: Services, caller: Caller, command: StoreFile) -> Done:
    """Let the broker name bytes that are on disk; when it refuses, they go unless another name has them."""
    try:
        return await services.command_of(caller, command, f"file/{command.name}")
    except CommandRefused:
        if not await services.reader.files(sha256=command.sha256):
            await services.files.drop(command.sha256)
        raise
