"""One setting, three spellings: a flag, a DOAI_* variable, a key of a TOML file; read strictly (all programs).

A program's settings are a frozen msgspec Struct; each field is ``Annotated[type, Meta(description=...)]`` and
gives ``--field-name``, ``DOAI_FIELD_NAME`` and ``field_name``. Flags win over variables, these over the file,
it over the defaults. ``Meta(extra={"aliases": [...]})`` names further variables. A field of type `Secret` has
no flag, because others see command lines: it has ``--field-name-file`` instead.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin

import msgspec

from doai import __version__
from doai.command_line import CommandLine
from doai.errors import ConfigError
from doai.variables import check_variables

EXIT_CONFIG: Final = 78
"""Exit code for a configuration that can not be used (EX_CONFIG of sysexits.h)."""


class Secret:
    """A value that is never shown: not in repr, logs, or `--check-config`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value, for the one place that needs it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)" if self._value else "Secret()"


class _Field(msgspec.Struct, frozen=True):
    name: str
    type: Any
    """Without `Annotated`."""
    annotation: Any
    """As declared, so that ranges and patterns in Meta hold."""
    description: str
    default: Any
    required: bool
    variables: list[str]

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def is_list(self) -> bool:
        return get_origin(self.type) is list

    @property
    def is_secret(self) -> bool:
        return self.type is Secret


_SettingsT = TypeVar("_SettingsT", bound=msgspec.Struct)


def load(
    settings_type: type[_SettingsT],
    program: str,
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    description: str = "",
    add_arguments: Callable[[argparse.ArgumentParser], None] | None = None,
    check: Callable[[_SettingsT], object] | None = None,
) -> tuple[_SettingsT, argparse.Namespace]:
    """Read the settings of a program from flags, variables and file.

    Returns the settings and the parsed flags (with those that ``add_arguments`` added). ``check`` raises
    ConfigError for values that are right alone and wrong together. ``--check-config`` prints the settings and
    exits with 0. Raises ConfigError with one sentence: what is wrong, where, what to do.
    """
    fields = _fields(settings_type)
    parser = make_parser(settings_type, program, description=description)
    if add_arguments is not None:
        add_arguments(parser)
    options = parser.parse_args(argv)
    check_variables(environ, variables_of(settings_type))
    values: dict[str, Any] = {}
    config = options.config or environ.get("DOAI_CONFIG")
    if config:
        values.update(_from_file(Path(config), fields))
    values.update(_from_environ(environ, fields))
    values.update(_from_flags(options, fields))
    missing = [field for field in fields if field.required and field.name not in values]
    if missing:
        field = missing[0]
        flag = f"{field.flag}-file" if field.is_secret else field.flag
        raise ConfigError(
            f"{field.name} is needed: give {flag}, {field.variables[0]}, or {field.name} in the file of --config"
        )
    settings = settings_type(**values)
    if check is not None:
        check(settings)
    if options.check_config:
        print(show(settings))  # noqa: T201 - this is the answer to a question on the command line
        raise SystemExit(0)
    return settings, options


def variables_of(settings_type: type[msgspec.Struct]) -> list[str]:
    """Return the variables that give a program's settings."""
    return [variable for field in _fields(settings_type) for variable in field.variables]


def given_settings(settings_type: type[msgspec.Struct], options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that the flags of `make_parser` gave, and no others; raises ConfigError."""
    return _from_flags(options, _fields(settings_type))


def file_settings(settings_type: type[msgspec.Struct], path: Path) -> dict[str, Any]:
    """Return the settings that a TOML file gives, and no others; raises ConfigError."""
    return _from_file(path, _fields(settings_type))


def check_endpoint(name: str, value: str, *, listens: bool = False) -> None:
    """Raise ConfigError unless the setting ``name`` is tcp://HOST:PORT; port 0 (any) only where one listens."""
    host, _, port = value.removeprefix("tcp://").rpartition(":")
    first = 0 if listens else 1
    if not value.startswith("tcp://") or not host or not port.isdecimal() or not first <= int(port) <= 65535:
        raise ConfigError(
            f"{name} can not be {json.dumps(value[:200])}: write tcp://HOST:PORT with a port from {first} to 65535"
        )


def make_parser(settings_type: type[msgspec.Struct], program: str, *, description: str) -> argparse.ArgumentParser:
    """Return the parser of a program's flags; its help names all three spellings."""
    parser = CommandLine(
        prog=program,
        description=description,
        epilog="Flags win over variables, variables over the file, the file over the defaults.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"doai {__version__}")
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings (also DOAI_CONFIG)")
    parser.add_argument("--check-config", action="store_true", help="show the settings, check them, and exit")
    for field in _fields(settings_type):
        _add_flag(parser, field)
    return parser


def _add_flag(parser: argparse.ArgumentParser, field: _Field) -> None:
    default = "needed" if field.required else f"default: {_as_toml(field.default)}"
    text = f"{field.description} ({default}; {', '.join(field.variables)})".replace("%", "%%")
    if field.is_secret:
        parser.add_argument(f"{field.flag}-file", metavar="FILE", help=f"file with: {text}", dest=field.name)
    elif field.type is bool:
        parser.add_argument(field.flag, action=argparse.BooleanOptionalAction, default=None, help=text)
    elif field.is_list:
        parser.add_argument(field.flag, action="append", metavar="VALUE", help=f"{text}; may be given again")
    else:
        parser.add_argument(field.flag, metavar="VALUE", help=text)


class SettingText(msgspec.Struct, frozen=True):
    """A setting in words, for documents."""

    name: str
    flag: str
    default: str
    """As in a TOML file; empty = it must be given."""
    meaning: str


def list_settings(settings_type: type[msgspec.Struct]) -> list[SettingText]:
    """Return the settings of a program in their order."""
    return [
        SettingText(
            field.name,
            f"{field.flag}-file" if field.is_secret else field.flag,
            "" if field.required else _as_toml(field.default),
            field.description,
        )
        for field in _fields(settings_type)
    ]


def show(settings: msgspec.Struct) -> str:
    """Return settings as TOML, secrets masked."""
    lines = [f"{field.name} = {_as_toml(getattr(settings, field.name))}" for field in _fields(type(settings))]
    return "\n".join(lines)


def _as_toml(value: Any) -> str:
    if isinstance(value, Secret):
        return '"***"' if value else '""'
    if isinstance(value, Path):
        value = str(value)
    if value is None:
        return '""'
    return json.dumps(value, ensure_ascii=False)


def _fields(settings_type: type[msgspec.Struct]) -> list[_Field]:
    found = []
    for field in msgspec.structs.fields(settings_type):
        described, description, aliases = field.type, "", []
        if get_origin(described) is Annotated:
            kind, *metas = get_args(described)
            for meta in metas:
                description = meta.description or description
                aliases += (meta.extra or {}).get("aliases", [])
            described = kind
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        variables = [f"DOAI_{field.name.upper()}", *aliases]
        found.append(_Field(field.name, described, field.type, description, default, field.required, variables))
    return found


def _convert(value: Any, field: _Field, place: str, *, given_as_text: bool) -> Any:
    if field.is_secret:
        if not isinstance(value, str):
            raise ConfigError(f"{place}: {field.name} must be text in quotes")
        return Secret(value)
    # A variable or flag is text whatever its type; in a file a number has no quotes. A list in a file has brackets.
    if field.is_list and given_as_text and isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if (field.type is Path or Path in get_args(field.type)) and isinstance(value, str):
        return Path(value).expanduser()
    try:
        return msgspec.convert(value, field.annotation, strict=not given_as_text)
    except msgspec.ValidationError:
        shown = json.dumps(value, ensure_ascii=False, default=str)
        raise ConfigError(f"{place}: {field.name} can not be {shown[:200]}: {_wanted(field.annotation)}") from None


def _wanted(annotation: Any) -> str:
    """Say what a value must be, from its declared type and bounds."""
    kind, metas = annotation, []
    if get_origin(annotation) is Annotated:
        kind, *metas = get_args(annotation)
    if get_origin(kind) is Literal:
        return f"choose one of {', '.join(map(str, get_args(kind)))}"
    if get_origin(kind) is list:
        needed = "one or more" if any(meta.min_length for meta in metas) else "a list"
        return f"it must be {needed}; of each value: {_wanted(get_args(kind)[0])}"
    for meta in metas:
        if meta.pattern:
            return f"it must be text that matches {meta.pattern}"
        if meta.min_length:
            return "it must be text and not empty"
    return f"it must be {_KINDS.get(kind, 'text in quotes')}{_range(metas)}"


_KINDS: Final[Mapping[Any, str]] = {int: "a whole number", float: "a number", bool: "true or false"}


def _range(metas: Sequence[msgspec.Meta]) -> str:
    low = next((meta.ge for meta in metas if meta.ge is not None), None)
    high = next((meta.le for meta in metas if meta.le is not None), None)
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f", {low} or more"
    return "" if high is None else f", {high} or less"


def _from_file(path: Path, fields: list[_Field]) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"cannot read the configuration {path}: {reason}") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no valid TOML: {error}") from None
    known = {field.name: field for field in fields}
    values = {}
    for key, value in table.items():
        place = f"{path}:{_line_of(text, key)}"
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            raise ConfigError(f"{place}: there is no setting {key}: {hint}")
        values[key] = _convert(value, known[key], place, given_as_text=False)
    return values


def _line_of(text: str, key: str) -> int:
    # tomllib does not keep lines: the key's own line is the first that assigns or opens it.
    pattern = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}[\"']?\s*[.=\]]")
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.match(line):
            return number
    return 1


def _from_environ(environ: Mapping[str, str], fields: list[_Field]) -> dict[str, Any]:
    values = {}
    for field in fields:
        for variable in field.variables:
            if variable in environ:
                values[field.name] = _convert(environ[variable], field, f"variable {variable}", given_as_text=True)
                break
    return values


def _from_flags(options: argparse.Namespace, fields: list[_Field]) -> dict[str, Any]:
    values = {}
    for field in fields:
        given = getattr(options, field.name, None)
        if given is None:
            continue
        if field.is_secret:
            try:
                given = Path(given).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ConfigError(f"{field.flag}-file: cannot read {given}: {error.strerror}") from None
        values[field.name] = _convert(given, field, field.flag, given_as_text=True)
    return values
