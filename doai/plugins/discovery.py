"""Where plug-ins are: shipped with doai, installed as distributions, in folders that a setting names (step 8).

Nothing of a plug-in is run to find it. Of several with one name the highest version is taken; what is left out is
told, each with its reason.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final

import msgspec

import doai
from doai.plugins.manifest import FILE, Manifest, ManifestError, read_manifest, unmet_needs, version_key
from doai.workflow.mistakes import Mistake

GROUP: Final = "doai.plugins"
"""Entry points of installed plug-ins: name -> the package whose folder has the manifest."""
SHIPPED: Final = Path(doai.__file__).parent / "drivers"
"""Of doai's own, each in a folder below this."""
FILES_MAX: Final = 2_000
BYTES_MAX: Final = 64 * 1024 * 1024
"""Of one plug-in: code and small data. What is larger belongs into a distribution of its own."""
_LEFT_OUT: Final = frozenset({"__pycache__", "node_modules"})


class Plugin(msgspec.Struct, frozen=True, kw_only=True):
    """A plug-in that was found, and can be used as far as can be told without running it."""

    folder: Path
    manifest: Manifest
    digest: str
    """SHA-256 of all its files with their names, in hexadecimal: with its name, what it is."""
    is_folder: bool
    """Its modules are found in its own folder; of an installed one they are found as any module is."""

    @property
    def label(self) -> str:
        """Name, version and the beginning of the digest, for people."""
        return f"{self.manifest.name} {self.manifest.version} ({self.digest[:8]})"


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A plug-in that is not used."""

    name: str
    """As far as it is known; else that of its folder."""
    version: str = ""
    folder: str
    reason: str
    """One sentence: what is wrong, where, what to do."""
    is_older: bool = False
    """Nothing is wrong with it: a higher version is used."""


class Found(msgspec.Struct, frozen=True):
    """All plug-ins of a host, by name."""

    plugins: tuple[Plugin, ...]
    left_out: tuple[LeftOut, ...]


def find_plugins(folders: Iterable[Path] = (), *, shipped: Path = SHIPPED) -> Found:
    """Return the plug-ins that ship with doai, are installed, or lie in one of the folders."""
    plugins: dict[str, Plugin] = {}
    left_out: list[LeftOut] = []
    for folder, is_folder in _candidates(folders, shipped, left_out):
        plugin = _read(folder, is_folder, left_out)
        if plugin is None:
            continue
        name = plugin.manifest.name
        other = plugins.get(name)
        if other is not None and _rank(other) >= _rank(plugin):
            plugin, other = other, plugin
        plugins[name] = plugin
        if other is not None and other.folder != plugin.folder:
            reason = (
                f"{plugin.folder} has version {plugin.manifest.version} of it, and the highest version is taken"
            )
            older = _left_out(other.folder, reason, other.manifest)
            left_out.append(msgspec.structs.replace(older, is_older=True))
    return Found(tuple(sorted(plugins.values(), key=lambda plugin: plugin.manifest.name)), tuple(left_out))


def read_plugin(folder: Path, *, is_folder: bool = True) -> Plugin:
    """Return the plug-in of a folder; raises ManifestError."""
    manifest = read_manifest(folder)
    return Plugin(folder=folder, manifest=manifest, digest=digest_of(folder), is_folder=is_folder)


def digest_of(folder: Path) -> str:
    """Return the SHA-256 of a plug-in's files with their names; raises ManifestError."""
    total = hashlib.sha256()
    for name, path in _files(folder):
        try:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise _unusable(
                folder, f"{path} can not be read: {error.strerror}; correct its owner or mode"
            ) from None
        total.update(f"{name}\0{content}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def copy_plugin(plugin: Plugin, folder: Path) -> None:
    """Copy a plug-in's files to a new folder, so that a change of its own folder changes no running one.

    Raises ManifestError when it can not be, also when the copy is another one because the folder was just changed.
    """
    try:
        for name, path in _files(plugin.folder):
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    except OSError as error:
        raise _unusable(plugin.folder, f"it can not be copied to {folder}: {error.strerror or error}") from None
    if digest_of(folder) != plugin.digest:
        raise _unusable(plugin.folder, "it was changed while it was read; it is looked at again in a moment")


def signature_of(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return sizes and times of a plug-in's files: equal = nobody changed it, without reading it."""
    found = []
    try:
        for name, path in _files(folder):
            stat = path.stat()
            found.append((name, stat.st_size, stat.st_mtime_ns))
    except (OSError, ManifestError):
        return ()
    return tuple(found)


def folders_with_manifest(folder: Path) -> list[Path]:
    """Return the folder itself when it is a plug-in, else those of its folders that are, by name."""
    try:
        if (folder / FILE).is_file():
            return [folder]
        inner = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        return [path for path in inner if path.is_dir() and (path / FILE).is_file()]
    except OSError:
        return []  # a folder that is not there has none; the settings that name it say so


def _candidates(folders: Iterable[Path], shipped: Path, left_out: list[LeftOut]) -> Iterator[tuple[Path, bool]]:
    for folder in folders_with_manifest(shipped):
        yield folder, False
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        installed = _installed(point)
        if installed is None:
            reason = (
                f"the entry point {point.name} = {point.value} leads to no package with a {FILE}; install it anew"
            )
            left_out.append(LeftOut(name=point.name, folder=point.value, reason=reason))
        else:
            yield installed, False
    for parent in folders:
        for folder in folders_with_manifest(parent):
            yield folder, True


def _installed(point: EntryPoint) -> Path | None:
    try:
        spec = importlib.util.find_spec(point.value.partition(":")[0])
    except (ImportError, ValueError, AttributeError):
        return None
    places: Sequence[str] = [] if spec is None else spec.submodule_search_locations or []
    return next((Path(place) for place in places if (Path(place) / FILE).is_file()), None)


def _read(folder: Path, is_folder: bool, left_out: list[LeftOut]) -> Plugin | None:
    try:
        plugin = read_plugin(folder, is_folder=is_folder)
    except ManifestError as error:
        left_out.append(LeftOut(name=folder.name, folder=str(folder), reason=str(error)))
        return None
    unmet = unmet_needs(plugin.manifest)
    if unmet:
        left_out.append(_left_out(folder, "; ".join(unmet), plugin.manifest))
        return None
    return plugin


def _left_out(folder: Path, reason: str, manifest: Manifest) -> LeftOut:
    return LeftOut(name=manifest.name, version=manifest.version, folder=str(folder), reason=reason)


def _rank(plugin: Plugin) -> tuple[tuple[int, ...], bool]:
    # Of equal versions that of a folder counts: it is where a person mends things.
    return version_key(plugin.manifest.version), plugin.is_folder


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Return the files of a plug-in by their names below its folder; raises ManifestError for too many."""
    found: list[tuple[str, Path]] = []
    size_bytes = 0
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _LEFT_OUT)
        for name in sorted(names):
            path = Path(top) / name
            if name.startswith(".") or name.endswith((".pyc", ".swp", "~")) or not path.is_file():
                continue
            found.append((path.relative_to(folder).as_posix(), path))
            size_bytes += path.stat().st_size
            if len(found) > FILES_MAX or size_bytes > BYTES_MAX:
                raise _unusable(
                    folder,
                    f"it has more than {FILES_MAX} files or {BYTES_MAX // 1024 // 1024} MiB; install what is large "
                    "as a distribution",
                )
    return found


def _unusable(folder: Path, reason: str) -> ManifestError:
    return ManifestError(str(folder), [Mistake(line=0, column=0, path="", message=reason)])
