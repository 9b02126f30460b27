"""Drivers that plug-ins bring: found by name, made with their settings, in the node's own process (step 9)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec

from doai.drivers.base import Driver
from doai.errors import ConfigError
from doai.plugins.discovery import Found, Plugin
from doai.workflow.mistakes import did_you_mean

MAKE: Final = "make_driver"
SETTINGS: Final = "Settings"
BUILT_IN: Final = ("adb", "fake")
"""Drivers of the node itself."""


def driver_names(found: Found) -> list[str]:
    """Return the names of all drivers that plug-ins bring."""
    return [entry.name for plugin in found.plugins for entry in plugin.manifest.drivers]


def split_settings(lines: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return settings by driver and name, of lines ``DRIVER.NAME=VALUE``; raises ConfigError."""
    settings: dict[str, dict[str, str]] = {}
    for line in lines:
        place, equals, value = line.partition("=")
        driver, dot, name = place.strip().partition(".")
        if not (driver and dot and name and equals):
            raise ConfigError(f"driver_settings can not be {line[:200]!r}: write DRIVER.NAME=VALUE")
        settings.setdefault(driver, {})[name] = value.strip()
    return settings


def load_driver(found: Found, name: str, settings: Mapping[str, str]) -> Driver:
    """Return the driver that a plug-in brings under this name; raises ConfigError, whatever its module does.

    The module has ``make_driver(settings) -> Driver``. If it has a msgspec Struct ``Settings``, it is given one,
    made of the texts of the node's ``driver_settings``; else it is given the texts by name.
    """
    for plugin in found.plugins:
        for entry in plugin.manifest.drivers:
            if entry.name == name:
                return _made(_module(plugin, entry.module), plugin, name, settings)
    raise _unknown(found, name)


def check_driver_names(found: Found, names: Sequence[str]) -> None:
    """Raise ConfigError for the first name that no driver has."""
    known = {*BUILT_IN, *driver_names(found)}
    for name in names:
        if name not in known:
            raise _unknown(found, name)


def _unknown(found: Found, name: str) -> ConfigError:
    reasons = [f"{out.name}: {out.reason}" for out in found.left_out]
    hint = did_you_mean(name, [*BUILT_IN, *driver_names(found)])
    said = f"; left out: {'; '.join(reasons[:3])}" if reasons else ""
    return ConfigError(f"drivers can not have {name[:63]!r}: {hint}{said}")


def _module(plugin: Plugin, name: str) -> ModuleType:
    if plugin.is_folder and str(plugin.folder) not in sys.path:
        sys.path.append(str(plugin.folder))  # last, so that nothing of doai is another's by it
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"the plug-in {plugin.label} in {plugin.folder} can not be imported: {type(error).__name__}: {error}"
        ) from error
    place = Path(getattr(module, "__file__", None) or "/")
    if plugin.is_folder and not place.resolve().is_relative_to(plugin.folder.resolve()):
        raise ConfigError(
            f"the plug-in {plugin.label} has a module {name}, and another one of that name is at {place}: rename it"
        )
    return module


def _made(module: ModuleType, plugin: Plugin, name: str, given: Mapping[str, str]) -> Driver:
    make = getattr(module, MAKE, None)
    if not callable(make):
        raise ConfigError(f"the plug-in {plugin.label} has no driver: {module.__name__} needs {MAKE}(settings)")
    settings: Any = dict(given)
    kind = getattr(module, SETTINGS, None)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        unknown = sorted(given.keys() - {item.encode_name for item in msgspec.structs.fields(kind)})
        if unknown:
            known = [item.encode_name for item in msgspec.structs.fields(kind)]
            raise ConfigError(
                f"driver_settings: {name} has no setting {unknown[0]!r}; {did_you_mean(unknown[0], known)}"
            )
        try:
            settings = msgspec.convert(settings, kind, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(f"driver_settings: of {name}: {error}") from None
    try:
        driver: Driver = make(settings)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"the driver {name} can not be made: {type(error).__name__}: {error}") from error
    if driver.name != name:
        raise ConfigError(f"the driver {name} of {plugin.label} calls itself {driver.name}: both must be one name")
    return driver
