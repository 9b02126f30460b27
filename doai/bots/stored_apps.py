"""What a bot can read of files that are stored for phones: never their bytes, but what is in them (step 14)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai.bots.results import Query, QueryFailed
from doai.file_reference import BadFileNameError, FileName, parse_file_reference

PAGE: Final = 500


class StoredApp(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is in a stored application package; its bytes are those that were signed."""

    file: str
    """``name@version``."""
    sha256: str
    size_bytes: int
    package: str
    version_code: int
    version_name: str
    min_sdk: int
    target_sdk: int
    abis: list[str]
    """Of which it has native code; empty = it runs on any processor."""
    permissions: list[str]
    """What it asks for."""
    test_only: bool
    certificate_sha256: str
    """Of its first signer; empty = not known."""
    certificate_hash: str
    """The same as phones tell it (`app.inspect`)."""


async def read_app(query: Query, file: str) -> StoredApp:
    """Return what is in a stored application package. Raises QueryFailed."""
    answer = await query(f"/apps/{_named(file)}")
    try:
        return msgspec.convert(answer, StoredApp)
    except msgspec.ValidationError as error:
        raise QueryFailed(f"the API's answer about {file} can not be read: {error}") from None


async def read_versions(query: Query, file: str) -> list[str]:
    """Return the versions of a stored file as ``name@version``, the newest last. Raises QueryFailed."""
    name, found, cursor = _named(file).name, [], None
    while True:
        page = await query("/files", prefix=name, limit=PAGE, cursor=cursor)
        found += [f"{name}@{item['version']}" for item in page["items"] if item["name"] == name]
        cursor = page["next"]
        if cursor is None:
            return found


def _named(file: str) -> FileName:
    try:
        return parse_file_reference(file)
    except BadFileNameError as error:
        raise QueryFailed(str(error), status=422) from None
