"""Where an artifact is stored: made on the node, checked by the admin, one function for both (step 10).

    {content_id}/{node_id}/{device_serial}/{run_id}/{file name}

The file name is ``20261121T084500.123Z-shot-1.png``: the UTC time with milliseconds in ISO 8601's basic form (no
colons, so that it is a name on any file system, and names sort by time), then the artifact's label. Milliseconds
alone are not unique, so the label is: the node makes it unique within the attempt. Every part begins with something
other than a dot and has no slash, so a path that was parsed can not leave its folder.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import msgspec

from doai.errors import UserError
from doai.ids import is_name, is_serial

PATH_CHARACTERS_MAX: Final = 512
"""Five parts within their own bounds fit; well below the 4096 of a Linux path and the 8 KiB of a request line."""
LABEL_CHARACTERS_MAX: Final = 128
"""With time and extension a file name stays below the 255 bytes of the usual file systems."""

# A content id may begin with - or _, as ids of videos do; it must not begin with a dot.
_CONTENT_ID: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LABEL: Final = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9._-]{{0,{LABEL_CHARACTERS_MAX - 1}}}")
_EXTENSION: Final = re.compile(r"[a-z0-9]{1,8}")
_FILE_NAME: Final = re.compile(
    rf"(?P<timestamp>[0-9]{{8}}T[0-9]{{6}}\.[0-9]{{3}}Z)-(?P<label>{_LABEL.pattern})\.(?P<extension>{_EXTENSION.pattern})"
)


class BadArtifactPathError(UserError):
    """A part of an artifact's path breaks a rule; the message names the part and the rule."""

    code = "bad_artifact_path"


class ArtifactPath(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a path, each checked."""

    content_id: str
    """What the picture is of: the workflow's ``content_id``."""
    node_id: str
    device_serial: str
    run_id: str
    timestamp: str
    """UTC, ``YYYYMMDDTHHMMSS.mmmZ``."""
    label: str
    extension: str

    @property
    def file_name(self) -> str:
        return f"{self.timestamp}-{self.label}.{self.extension}"

    def __str__(self) -> str:
        return f"{self.content_id}/{self.node_id}/{self.device_serial}/{self.run_id}/{self.file_name}"


def make_artifact_path(
    *, content_id: str, node_id: str, device_serial: str, run_id: str, utc_ms: int, label: str, extension: str
) -> ArtifactPath:
    """Return the path for an artifact made at ``utc_ms`` (ms since 1970); raises BadArtifactPathError."""
    path = ArtifactPath(
        content_id=content_id,
        node_id=node_id,
        device_serial=device_serial,
        run_id=run_id,
        timestamp=_timestamp(utc_ms),
        label=label,
        extension=extension,
    )
    _check(path)
    return path


def parse_artifact_path(text: str) -> ArtifactPath:
    """Read a path that a peer sent; raises BadArtifactPathError unless it is exactly what a node would make."""
    parts = text.split("/") if len(text) <= PATH_CHARACTERS_MAX else []
    name = _FILE_NAME.fullmatch(parts[-1]) if len(parts) == 5 else None
    if name is None:
        raise BadArtifactPathError(
            f"{text[:200]!r} is no artifact path: it must be content_id/node_id/device_serial/run_id/"
            f"YYYYMMDDTHHMMSS.mmmZ-label.extension, at most {PATH_CHARACTERS_MAX} characters"
        )
    path = ArtifactPath(
        content_id=parts[0],
        node_id=parts[1],
        device_serial=parts[2],
        run_id=parts[3],
        timestamp=name["timestamp"],
        label=name["label"],
        extension=name["extension"],
    )
    _check(path)
    return path


def is_content_id(text: str) -> bool:
    """Whether the text may be the first part of a path: 1-128 of A-Z a-z 0-9 _ - ., not beginning with a dot."""
    return _CONTENT_ID.fullmatch(text) is not None


def label_of(text: str) -> str:
    """Return a label for a step id or name: what may not stand in a path becomes a dot (``login/shot`` ->
    ``login.shot``)."""
    return re.sub(r"[^A-Za-z0-9_-]+", ".", text).strip(".")[:LABEL_CHARACTERS_MAX] or "artifact"


def _timestamp(utc_ms: int) -> str:
    seconds, ms = divmod(utc_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%S}.{ms:03d}Z"


def _check(path: ArtifactPath) -> None:
    rules = (
        (
            "content_id",
            path.content_id,
            is_content_id(path.content_id),
            "1-128 of A-Z a-z 0-9 _ - . and no leading dot",
        ),
        ("node_id", path.node_id, is_name(path.node_id), "1-63 of a-z 0-9 . _ - beginning with a letter or digit"),
        ("device_serial", path.device_serial, is_serial(path.device_serial), "1-127 of A-Z a-z 0-9 . _ : -"),
        ("run_id", path.run_id, _RUN_ID.fullmatch(path.run_id) is not None, "1-64 of A-Z a-z 0-9 _ -"),
        ("label", path.label, _LABEL.fullmatch(path.label) is not None, "1-128 of A-Z a-z 0-9 _ - ."),
        ("extension", path.extension, _EXTENSION.fullmatch(path.extension) is not None, "1-8 of a-z 0-9"),
    )
    for part, value, allowed, rule in rules:
        if not allowed:
            raise BadArtifactPathError(
                f"{part} {value[:80]!r} can not be part of an artifact path: it must be {rule}"
            )
    if len(str(path)) > PATH_CHARACTERS_MAX:
        raise BadArtifactPathError(
            f"the artifact path {str(path)[:80]!r}... has more than {PATH_CHARACTERS_MAX} characters"
        )
