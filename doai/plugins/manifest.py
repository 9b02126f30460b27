"""The manifest of a plug-in, `plugin.yaml`: what it brings and needs, read without running any of it (step 8)."""

from __future__ import annotations

import importlib.util
import platform
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from doai import __version__
from doai.workflow.mistakes import Mistake, MistakeList, MistakesError, WorkflowError
from doai.workflow.reading import read_struct
from doai.workflow.source import read_source
from doai.workflow.step_schema import FAMILIES

FILE: Final = "plugin.yaml"
MANIFEST_BYTES_MAX: Final = 64 * 1024
"""A hundred steps with their titles are 10 KiB."""
ENTRIES_MAX: Final = 200
"""Steps of one plug-in; as many bots and drivers."""
DRIVERS: Final = frozenset({"adb", "fake"})
"""Names of drivers that a plug-in can not bring."""

_NAME: Final = r"^[a-z][a-z0-9_-]{0,30}$(?!\n)"
_STEP: Final = r"^[a-z][a-z0-9_-]{0,30}(\.[a-z][a-z0-9_]{0,30}){1,3}$(?!\n)"
_MODULE: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62}){0,9}$(?!\n)"
_VERSION: Final = r"^[0-9]{1,6}(\.[0-9]{1,6}){0,3}$(?!\n)"
_NEEDED: Final = (
    r"^\s*(>=|<=|==|<|>)\s*[0-9]+(\.[0-9]+){0,3}\s*(,\s*(>=|<=|==|<|>)\s*[0-9]+(\.[0-9]+){0,3}\s*)*$(?!\n)"
)
_HOLDS: Final = {
    ">=": lambda have, asked: have >= asked,
    "<=": lambda have, asked: have <= asked,
    "==": lambda have, asked: have == asked,
    "<": lambda have, asked: have < asked,
    ">": lambda have, asked: have > asked,
}

Module = Annotated[str, Meta(pattern=_MODULE)]
Needed = Annotated[str, Meta(pattern=_NEEDED)]


class StepEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A step that a plug-in brings."""

    name: Annotated[str, Meta(pattern=_STEP)]
    """``PLUGIN.WORD``, as workflows use it."""
    module: Module
    """Where the function is that `doai.plugins.step` was given under this name."""


class DriverEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A driver that a plug-in brings."""

    name: Annotated[str, Meta(pattern=_NAME)]
    """What a node's setting ``drivers`` names."""
    module: Module
    """A module with ``make_driver(config) -> doai.drivers.base.Driver``."""


class BotEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A bot that a plug-in brings."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$(?!\n)")]
    """What ``bin/bot NAME`` is told."""
    module: Module
    """A module with one `doai.bots.Bot`."""


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What must be there for the plug-in to run."""

    doai: Needed | None = None
    """Releases of doai, such as ``>=0.1,<1``."""
    python: Needed | None = None
    modules: list[Module] = []
    """Python modules that must be installed beside it."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What `plugin.yaml` says."""

    name: Annotated[str, Meta(pattern=_NAME)]
    version: Annotated[str, Meta(pattern=_VERSION)]
    title: Annotated[str, Meta(max_length=200)] = ""
    steps: Annotated[list[StepEntry], Meta(max_length=ENTRIES_MAX)] = []
    drivers: Annotated[list[DriverEntry], Meta(max_length=ENTRIES_MAX)] = []
    bots: Annotated[list[BotEntry], Meta(max_length=ENTRIES_MAX)] = []
    needs: Needs = Needs()


class ManifestError(MistakesError):
    """A plug-in can not be used as its folder is; ``mistakes`` has every reason."""

    code = "bad_plugin"


def read_manifest(folder: Path) -> Manifest:
    """Return what the manifest of a plug-in's folder says, checked against the folder; raises ManifestError."""
    path = folder / FILE
    text = _text(path)
    try:
        source = read_source(text)
    except WorkflowError as error:
        raise ManifestError(str(path), error.mistakes) from None
    mistakes = MistakeList(source.values, source.keys)
    manifest = read_struct(source.data, Manifest, (), mistakes)
    _check_names(manifest, mistakes)
    if not (manifest.steps or manifest.drivers or manifest.bots) and not len(mistakes):
        mistakes.add((), "it brings nothing; name its steps, drivers or bots")
    for group, entries in _groups(manifest):
        for index, entry in enumerate(entries):
            at = (group, index, "module")
            if entry.module and not mistakes.within(at) and not has_module(folder, entry.module):
                inside = entry.module.replace(".", "/") + ".py"
                mistakes.add(at, f"there is no module {entry.module}; put {inside} beside {FILE}, or install it")
    mistakes.raise_if_any(ManifestError, str(path))
    return manifest


def unmet_needs(manifest: Manifest) -> list[str]:
    """Return what the plug-in needs and this Python does not have, a sentence each; empty = all is there."""
    unmet = [
        f"it needs {what} {needed} and this is {what} {have}"
        for what, needed, have in (
            ("doai", manifest.needs.doai, __version__),
            ("python", manifest.needs.python, platform.python_version()),
        )
        if needed is not None and not _satisfies(have, needed)
    ]
    return [
        *unmet,
        *(
            f"it needs the module {name}, which is not installed"
            for name in manifest.needs.modules
            if not _found(name)
        ),
    ]


def has_module(folder: Path, module: str) -> bool:
    """Whether a module is in a plug-in's folder, or can be imported without it; nothing of either is run."""
    inside = folder.joinpath(*module.split("."))
    return inside.with_suffix(".py").is_file() or (inside / "__init__.py").is_file() or _found(module)


def version_key(version: str) -> tuple[int, ...]:
    """Return what versions are compared by: 1.10 is after 1.9, and 1.0 is 1."""
    numbers = [int(part) for part in re.findall(r"\d+", version)[:4]]
    return tuple(numbers + [0] * (4 - len(numbers)))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MANIFEST_BYTES_MAX:
            raise _unreadable(
                path, f"it is larger than {MANIFEST_BYTES_MAX // 1024} KiB; a manifest only names things"
            )
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _unreadable(path, f"there is no such file; a plug-in is a folder with a {FILE}") from None
    except OSError as error:
        raise _unreadable(path, f"it can not be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"it is no UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _unreadable(path: Path, reason: str) -> ManifestError:
    return ManifestError(str(path), [Mistake(line=0, column=0, path="", message=reason)])


def _groups(manifest: Manifest) -> Iterator[tuple[str, Sequence[StepEntry | DriverEntry | BotEntry]]]:
    yield from (("steps", manifest.steps), ("drivers", manifest.drivers), ("bots", manifest.bots))


def _check_names(manifest: Manifest, mistakes: MistakeList) -> None:
    if manifest.name in FAMILIES and not mistakes.within(("name",)):
        mistakes.add(("name",), f"{manifest.name} is the first word of steps of doai; take another name")
    for group, entries in _groups(manifest):
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            at = (group, index, "name")
            if mistakes.within(at):
                continue
            if entry.name in seen:
                mistakes.add(at, f"{entry.name} is named twice; remove one")
            seen.add(entry.name)
            if group == "drivers" and entry.name in DRIVERS:
                mistakes.add(at, f"doai has a driver {entry.name} of its own; take another name")
            if (
                group == "steps"
                and entry.name.partition(".")[0] != manifest.name
                and not mistakes.within(("name",))
            ):
                better = f"{manifest.name}.{entry.name.split('.')[-1]}"
                mistakes.add(at, f"steps of {manifest.name} begin with its name; write {better}")


def _satisfies(have: str, needed: str) -> bool:
    return all(
        _HOLDS[sign](version_key(have), version_key(asked))
        for sign, asked in re.findall(r"(>=|<=|==|<|>)\s*([0-9.]+)", needed)
    )


def _found(module: str) -> bool:
    # Only the first name is looked up: to look further would run the package.
    try:
        first = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return False
    if first is None or "." not in module:
        return first is not None
    places = first.submodule_search_locations or []
    rest = module.split(".")[1:]
    return any(
        Path(place).joinpath(*rest).with_suffix(".py").is_file() or Path(place, *rest, "__init__.py").is_file()
        for place in places
    )
