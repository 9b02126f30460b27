"""The files that the steps of an attempt made, kept until they are spooled or dropped with it (step 10).

On disk: ``data_dir/tasks/<task_id>-<token>-<name>``. What they are is remembered in memory only: an attempt is
never resumed, so that after a crash nobody asks for them and a start removes them. So they are not synced either:
a file is on disk once it is spooled.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from doai.artifact_path import LABEL_CHARACTERS_MAX, BadArtifactPathError, label_of, make_artifact_path
from doai.errors import ErrorClass
from doai.ids import Token
from doai.limits import ARTIFACT_BYTES_MAX
from doai.node.durable_file import make_folder, remove_folder
from doai.node.steps.base import ArtifactRef, step_failed

_SUFFIX_CHARACTERS_MAX: Final = 16
"""Room in a label for the try and a number: ``-100-1000``."""


class ArtifactOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Who made an artifact: what its path, its upload and the event `artifact.stored` say of it."""

    content_id: str
    """The workflow's ``content_id``; its name where it has none."""
    run_id: str
    task_id: str
    token: Token
    device_serial: str
    step_id: str
    try_number: int = 1


class KeptArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file of an attempt."""

    ref: ArtifactRef
    owner: ArtifactOwner
    file: Path


class KeptArtifacts:
    """All kept files of a node, by attempt and name; blocking calls, from one thread at a time per attempt."""

    def __init__(self, data_dir: Path, node_id: str) -> None:
        """Remove what a former life left and begin with nothing; raises OSError."""
        self._folder = data_dir / "tasks"
        self._node_id = node_id
        self._kept: dict[tuple[str, Token], dict[str, KeptArtifact]] = {}
        remove_folder(self._folder)
        make_folder(self._folder)

    def plan(
        self,
        owner: ArtifactOwner,
        *,
        size_bytes: int,
        extension: str,
        media_type: str,
        name: str | None,
        utc_ms: int,
    ) -> ArtifactRef:
        """Give an artifact its name and path before anything is written, and reserve the name.

        Raises StepError (class user): ``artifact_too_large``, or ``bad_artifact_path`` when a parameter can not be
        part of a path. The hash is not known yet: ``""``.
        """
        if size_bytes > ARTIFACT_BYTES_MAX:
            raise step_failed(
                ErrorClass.USER,
                "artifact_too_large",
                f"The artifact has {size_bytes} bytes; at most {ARTIFACT_BYTES_MAX} can be kept.",
            )
        attempt = self._kept.setdefault((owner.task_id, owner.token), {})
        label = self._free_label(attempt, name or owner.step_id, owner.try_number, extension)
        try:
            path = make_artifact_path(
                content_id=owner.content_id,
                node_id=self._node_id,
                device_serial=owner.device_serial,
                run_id=owner.run_id,
                utc_ms=utc_ms,
                label=label,
                extension=extension,
            )
        except BadArtifactPathError as error:
            raise step_failed(ErrorClass.USER, error.code, f"The artifact has no valid path: {error}.") from None
        ref = ArtifactRef(
            name=f"{label}.{extension}", sha256="", size_bytes=size_bytes, media_type=media_type, path=str(path)
        )
        file = self._folder / f"{label_of(owner.task_id)}-{owner.token}-{ref.name}"
        attempt[ref.name] = KeptArtifact(ref=ref, owner=owner, file=file)
        return ref

    def write(self, owner: ArtifactOwner, ref: ArtifactRef, data: bytes) -> ArtifactRef:
        """Write a planned artifact and return it with its hash; raises OSError, and nothing is left of it then."""
        kept = self._kept[owner.task_id, owner.token][ref.name]
        try:
            kept.file.write_bytes(data)
        except OSError:
            kept.file.unlink(missing_ok=True)  # a full disk needs the space back
            raise
        whole = msgspec.structs.replace(ref, sha256=hashlib.sha256(data).hexdigest())
        self._kept[owner.task_id, owner.token][ref.name] = msgspec.structs.replace(kept, ref=whole)
        return whole

    def forget(self, owner: ArtifactOwner, ref: ArtifactRef) -> None:
        """Give a planned name back: it could not be written."""
        self._kept.get((owner.task_id, owner.token), {}).pop(ref.name, None)

    def find(self, task_id: str, token: Token, name: str) -> KeptArtifact:
        """Return a written artifact; raises StepError (class user, ``unknown_artifact``)."""
        attempt = self._kept.get((task_id, token), {})
        kept = attempt.get(name)
        if kept is None or not kept.ref.sha256:
            known = ", ".join(sorted(attempt)[:10]) or "none yet"
            raise step_failed(
                ErrorClass.USER,
                "unknown_artifact",
                f"The task has no artifact {name[:100]!r} (it has: {known}); name an earlier step's output such as "
                "${steps.shot.artifact}.",
            )
        return kept

    def drop(self, task_id: str, token: Token) -> None:
        """Forget an attempt and remove its files; dropping it twice is fine."""
        for kept in self._kept.pop((task_id, token), {}).values():
            kept.file.unlink(missing_ok=True)

    @property
    def count(self) -> int:
        """Files kept now."""
        return sum(len(attempt) for attempt in self._kept.values())

    @staticmethod
    def _free_label(attempt: dict[str, KeptArtifact], wanted: str, try_number: int, extension: str) -> str:
        """``shot-1`` for the first try of step ``shot``; a second file of that try is ``shot-1-2``."""
        base = f"{label_of(wanted)[: LABEL_CHARACTERS_MAX - _SUFFIX_CHARACTERS_MAX]}-{try_number}"
        label, number = base, 1
        while f"{label}.{extension}" in attempt:
            number += 1
            label = f"{base}-{number}"
        return label
