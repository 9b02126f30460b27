"""Finds the bot that a name, a file or a module means, and says in one sentence why there is none (step 14)."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Final

from doai.bots.bot import Bot, loading
from doai.bots.errors import BotError
from doai.plugins.discovery import find_plugins

GROUP: Final = "doai.bots"
"""Entry points of bots that are installed: name -> module, or module:attribute."""
SHIPPED: Final[Mapping[str, str]] = {
    "health-bot": "doai.bots.health",
    "install-bot": "doai.bots.install.bot",
    "notify-bot": "doai.bots.notify",
    "playback-bot": "doai.bots.playback",
}
"""Bots that come with doai: name -> module, or module:attribute. No installed distribution takes such a name."""
_FILE_MODULE: Final = "doai_bot"


def load_bot(program: str, plugin_dirs: Iterable[Path] = ()) -> Bot:
    """Return the bot of ``thermal.py``, ``my_bots.thermal``, ``my_bots:guard``, or of a name.

    A name is that of a bot that is shipped or installed, or that a plug-in brings. Raises BotError: there is none,
    there are several, or its program fails.
    """
    if program.endswith(".py") or "/" in program:
        return _only(_load_file(Path(program).expanduser()), program, "")
    named = {**{point.name: point.value for point in entry_points(group=GROUP)}, **SHIPPED}
    if program not in named and "." not in program:
        found_plugins = find_plugins(plugin_dirs)
        for plugin in found_plugins.plugins:
            for entry in plugin.manifest.bots:
                if entry.name == program and plugin.is_folder:
                    return _only(_load_file(_file_of(plugin.folder, entry.module)), program, "")
                named[entry.name] = entry.module
    module_name, _, attribute = named.get(program, program).partition(":")
    try:
        found = importlib.util.find_spec(module_name)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None:
        near = difflib.get_close_matches(program, named, n=1)
        hint = f"did you mean {near[0]}?" if near else "name a file (thermal.py) or a module that can be imported"
        raise BotError(f"there is no bot {program!r}: {hint}")
    with loading():
        try:
            module = importlib.import_module(module_name)
        except BotError:
            raise
        except (Exception, SystemExit) as error:
            raise BotError(_failed(program, error)) from error
    return _only(module, program, attribute)


def _file_of(folder: Path, module: str) -> Path:
    inside = folder.joinpath(*module.split("."))
    package = inside / "__init__.py"
    return package if package.is_file() else inside.with_suffix(".py")


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise BotError(f"there is no file {path}: name the file of the bot")
    spec = importlib.util.spec_from_file_location(_FILE_MODULE, path)
    if spec is None or spec.loader is None:
        raise BotError(f"{path} is no Python file: a bot's name ends with .py")
    module = importlib.util.module_from_spec(spec)
    # As `python FILE` does: modules beside it can be imported, and types of it be found by name.
    sys.path.insert(0, str(path.parent.resolve()))
    sys.modules[_FILE_MODULE] = module
    with loading():
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            raise BotError(_failed(str(path), error)) from error
    return module


def _failed(program: str, error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if frame.filename.endswith(program.rsplit("/", 1)[-1])]
    line = error.lineno if isinstance(error, SyntaxError) else mine[-1].lineno if mine else None
    where = program if line is None else f"{program}, line {line}"
    said = str(error) if isinstance(error, BotError) else f"{type(error).__name__}: {error}"
    return f"{where}: {said}"


def _only(module: ModuleType, program: str, attribute: str) -> Bot:
    if attribute:
        bot = getattr(module, attribute, None)
        if not isinstance(bot, Bot):
            raise BotError(f"{program} names no bot: {attribute} must be a doai.bots.Bot")
        return bot
    bots = list({id(value): value for value in vars(module).values() if isinstance(value, Bot)}.values())
    if len(bots) != 1:
        names = ", ".join(bot.name for bot in bots)
        many = f"it has several ({names}): name one as MODULE:VARIABLE" if bots else 'write bot = Bot("my-name")'
        raise BotError(f"{program} has no bot of its own: {many}")
    return bots[0]
