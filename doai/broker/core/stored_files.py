"""The files that people put, by name and version, and what a run pins of them (step 2)."""

from __future__ import annotations

from collections.abc import Sequence

from doai.changes.rows import FileRow
from doai.errors import UserError
from doai.limits import FILES_PINNED_MAX
from doai.messages.work import FilePin
from doai.workflow.files import FileNeed
from doai.workflow.mistakes import did_you_mean, path_text


class FilesError(UserError):
    """Files that a run needs are not there; ``details`` has a sentence for each."""

    code = "bad_files"

    def __init__(self, title: str, details: list[str]) -> None:
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        super().__init__(f"{title} can not run: {details[0]}{more}")
        self.details = details


class StoredFiles:
    """Versions by name, each name's in the order in which they were put."""

    def __init__(self, rows: Sequence[FileRow]) -> None:
        self._names: dict[str, dict[str, FileRow]] = {}
        for row in rows:
            self.add(row)

    def add(self, row: FileRow) -> None:
        """Take a version; it is the newest of its name now."""
        self._names.setdefault(row.name, {})[row.version] = row

    def remove(self, row: FileRow) -> None:
        """Forget a version."""
        versions = self._names[row.name]
        del versions[row.version]
        if not versions:
            del self._names[row.name]

    def find(self, name: str, version: str | None) -> FileRow | None:
        """Return a version, or the newest."""
        versions = self._names.get(name)
        if versions is None:
            return None
        return versions.get(version) if version is not None else next(reversed(versions.values()))

    def next_number(self, name: str) -> str:
        """Return the version of a file that is put without one: one above the highest whole number so far."""
        numbers = [
            int(version) for version in self._names.get(name, ()) if version.isdecimal() and version.isascii()
        ]
        return str(max(numbers, default=0) + 1)

    def has_bytes(self, sha256: str) -> bool:
        """Whether any file has these bytes."""
        return any(row.sha256 == sha256 for versions in self._names.values() for row in versions.values())

    def why_not(self, name: str, version: str | None) -> str:
        """Return one sentence on why there is no such file, with what is near."""
        versions = self._names.get(name)
        if versions is None:
            if not self._names:
                return f"there is no file {name}, and none at all: `doai files put` stores one"
            return f"there is no file {name}: {did_you_mean(name, self._names)}, or put it with `doai files put`"
        known = ", ".join(f"{name}@{known}" for known in list(versions)[-5:])
        return f"there is no file {name}@{version}: known are {known}"

    def pin(self, title: str, needs: Sequence[FileNeed]) -> list[FilePin]:
        """Return what a run of the workflow ``title`` binds its file needs to.

        Raises FilesError naming every file that is not there.
        """
        pins: dict[str, FilePin] = {}
        mistakes = []
        for need in needs:
            if need.is_pattern:
                for row in self._matching(need):
                    reference = row.name if need.version is None else f"{row.name}@{row.version}"
                    pins[reference] = _pin(reference, row)
                continue
            row_or_none = self.find(need.name, need.version)
            if row_or_none is None and need.may_be_missing and need.version is None:
                continue
            if row_or_none is None:
                mistakes.append(f"{path_text(need.path)}: {self.why_not(need.name, need.version)}")
            else:
                pins[need.reference] = _pin(need.reference, row_or_none)
        if len(pins) > FILES_PINNED_MAX:
            mistakes.append(f"it may ask for {len(pins)} files, {FILES_PINNED_MAX} are allowed: split the workflow")
        if mistakes:
            raise FilesError(title, mistakes)
        return list(pins.values())

    def _matching(self, need: FileNeed) -> list[FileRow]:
        found = (self.find(name, need.version) for name in self._names if need.fits(name))
        return [row for row in found if row is not None]


def _pin(reference: str, row: FileRow) -> FilePin:
    return FilePin(reference=reference, version=row.version, sha256=row.sha256, size_bytes=row.size_bytes)
