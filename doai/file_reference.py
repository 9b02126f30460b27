"""Names of stored files: ``my-app@1.4``, or ``my-app`` for the newest version (steps 1, 2 and 8).

A name is 1 to 8 parts joined by slashes (``baseline/login/home/Pixel-7-1080x2400``). No part begins with a dot, so
that a name can be a path and never leaves its folder.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from doai.errors import UserError

NAME_CHARACTERS_MAX: Final = 255
VERSION_CHARACTERS_MAX: Final = 63
REFERENCE_CHARACTERS_MAX: Final = NAME_CHARACTERS_MAX + 1 + VERSION_CHARACTERS_MAX

_PART: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}"
_NAME: Final = rf"{_PART}(?:/{_PART}){{0,7}}"
_VERSION: Final = rf"[A-Za-z0-9][A-Za-z0-9._+-]{{0,{VERSION_CHARACTERS_MAX - 1}}}"
FILE_REFERENCE_PATTERN: Final = rf"^{_NAME}(?:@{_VERSION})?$(?!\n)"
"""In Python ``$`` also matches before a last line break: ``(?!\\n)``."""
FILE_REFERENCE_FORM: Final = (
    "write name or name@version, such as my-app@1.4; a name is letters, digits, . _ - and parts joined by /"
)

_NAME_ONLY: Final = re.compile(_NAME)
_VERSION_ONLY: Final = re.compile(_VERSION)


class BadFileNameError(UserError):
    """The text can not name a file or a version of one."""

    code = "bad_file_name"


class FileName(msgspec.Struct, frozen=True):
    """A file, or one version of it."""

    name: str
    version: str | None
    """None = the newest."""

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


def parse_file_reference(text: str) -> FileName:
    """Read ``name`` or ``name@version``; raises BadFileNameError with the rule that was broken."""
    name, at, version = text.partition("@")
    if len(name) > NAME_CHARACTERS_MAX or _NAME_ONLY.fullmatch(name) is None:
        raise BadFileNameError(
            f"{name[:80]!r} can not name a file: use letters, digits, . _ - (not first), in up to 8 parts joined "
            f"by /, {NAME_CHARACTERS_MAX} characters in all"
        )
    if not at:
        return FileName(name, None)
    if _VERSION_ONLY.fullmatch(version) is None:
        raise BadFileNameError(
            f"{version[:80]!r} can not name a version of {name[:80]}: use up to {VERSION_CHARACTERS_MAX} letters, "
            "digits, . _ + - and begin with a letter or digit, such as 1.4"
        )
    return FileName(name, version)
