"""The pages of docs/reference, from the code: commands, settings, steps, events, the API (before all steps)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from doai import limits
from doai.admin.app import describe_api
from doai.cli import exits
from doai.cli.command_tree import PROGRAMS, Argument, daemon, doai_commands, shared_flags
from doai.configuration import list_settings
from doai.incidents import RULES, Rule
from doai.messages.catalogue import EVENTS
from doai.messages.contract import field_documents
from doai.story.sentences import sentence
from doai.workflow.steps import BUILT_IN

HEAD: Final = "Generated from the code by `bin/docs --write`; do not edit.\n"


def reference() -> dict[str, str]:
    """Return every page: file name -> text."""
    return {
        "cli.md": _cli(),
        "config.md": _config(),
        "steps.md": _steps(),
        "events.md": _events(),
        "incidents.md": _incidents(),
        "api.md": _api(),
    }


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _cli() -> str:
    parts = [
        f"# Commands\n\n{HEAD}",
        "`doai completion bash` prints a completion script (zsh, fish), `bin/docs --man FOLDER` man pages.\n",
    ]
    for command in doai_commands():
        parts.append(f"## {command.name}\n\n{command.summary}\n\n    {command.usage}\n")
        if command.arguments:
            parts.append(_arguments(command.arguments))
    parts += ["## Flags of every command that talks to the API\n", _arguments(shared_flags())]
    codes = {name: code for name, code in vars(exits).items() if name.isupper()}
    rows = [(str(code), name.lower().replace("_", " ")) for name, code in sorted(codes.items(), key=lambda p: p[1])]
    parts += ["## Exit codes of all programs\n", table(("code", "meaning"), rows)]
    return "\n".join(parts)


def _arguments(arguments: Sequence[Argument]) -> str:
    return table(("argument", "meaning"), [(f"`{each.form}`", each.meaning) for each in arguments])


def _config() -> str:
    parts = [
        (
            f"# Settings\n\n{HEAD}\n"
            "A setting has three spellings: a key of the TOML file of `--config`, a variable, a flag (`slots = 8`, "
            "`DOAI_SLOTS=8`, `--slots 8`). Flags win over variables, variables over the file, the file over the "
            "defaults. `--check-config` shows what is set, secrets masked. A secret has no flag, because others "
            "see command lines: `--NAME-file` names a file that holds it.\n"
        ),
    ]
    for program, (settings, _) in PROGRAMS.items():
        rows = [
            (f"`{each.name}`", f"`{each.flag}`", each.default and f"`{each.default}`", each.meaning)
            for each in list_settings(settings)
        ]
        parts += [
            f"## bin/{program}\n\n{daemon(program).summary}\n",
            table(("key", "flag", "default", "meaning"), rows),
        ]
    return "\n".join(parts)


def _steps() -> str:
    parts = [f"# Steps\n\n{HEAD}", "An argument without a default is needed. `with` of a step names them.\n"]
    for name, kind in BUILT_IN.items():
        notes = [
            "on the device" if kind.on_device else "beside the device",
            "repeated when its end was not seen" if kind.idempotent else "never repeated by itself",
            f"timeout {kind.timeout_s:g} s unless said",
        ]
        parts.append(f"## {name}\n\n{_first_paragraph(kind.arguments)} ({'; '.join(notes)})\n")
        parts += [_fields("argument", kind.arguments), _fields("output", kind.outputs)]
    return "\n".join(part for part in parts if part)


def _first_paragraph(struct: type) -> str:
    return " ".join(inspect.cleandoc(struct.__doc__ or "").partition("\n\n")[0].split())


def _fields(what: str, struct: type[msgspec.Struct]) -> str:
    meanings = field_documents(struct)
    schema = msgspec.json.schema(struct)
    properties = schema["$defs"][struct.__name__]["properties"]
    rows = []
    for field in msgspec.structs.fields(struct):
        described = properties[field.encode_name]
        default = "" if field.required or what == "output" else f"`{json.dumps(described.get('default'))}`"
        row = (f"`{field.encode_name}`", _kind(described), default, meanings.get(field.name, ""))
        rows.append(row if what == "argument" else (*row[:2], row[3]))
    headings = (what, "type", "default", "meaning") if what == "argument" else (what, "type", "meaning")
    return table(headings, rows) if rows else ""


def _kind(described: dict[str, Any]) -> str:
    """Say a JSON Schema in words."""
    if "anyOf" in described:
        return " or ".join(dict.fromkeys(_kind(each) for each in described["anyOf"]))
    if "enum" in described:
        return ", ".join(f"`{value}`" for value in described["enum"])
    if "$ref" in described:
        return f"`{described['$ref'].rpartition('/')[2]}`"
    name = str(described.get("type", "any"))
    if name == "array":
        return f"list of {_kind(described.get('items', {}))}"
    low, high = described.get("minimum"), described.get("maximum")
    if low is not None and high is not None:
        return f"{name} {low} to {high}"
    return f"{name} from {low}" if low is not None else name


def _events() -> str:
    parts = [
        (
            f"# Events\n\n{HEAD}\n"
            "Events are read at `GET /api/v1/events` and followed at `GET /api/v1/events/stream`; `doai story` "
            "tells them as sentences. The envelope around each payload is in [the contract]"
            "(../../proto/MESSAGES.md).\n"
        ),
    ]
    for name, payload in EVENTS.items():
        meanings = field_documents(payload)
        rows = [
            (f"`{field.encode_name}`", "" if field.required else "yes", meanings.get(field.name, ""))
            for field in msgspec.structs.fields(payload)
        ]
        told = sentence(name, {})
        parts.append(f'## {name}\n\n{_first_paragraph(payload)} In a story: "{told}".\n')
        parts.append(table(("field", "may be missing", "meaning"), rows))
    return "\n".join(parts)


def _incidents() -> str:
    def when(measure: float, for_s: float, rule: Rule) -> str:
        lasts = f" for {for_s:g} s" if for_s else ""
        if rule.is_counted:
            return "when it happens" if measure == rule.opens_at and not for_s else f"not seen{lasts}"
        return f"{measure:g}{lasts}"

    rows = [
        (
            f"`{incident_type.value}`",
            rule.severity.value,
            rule.means,
            when(rule.opens_at, rule.opens_after_s, rule),
            f"below {when(rule.closes_at, rule.closes_after_s, rule)}"
            if not rule.is_counted
            else when(rule.closes_at, rule.closes_after_s, rule),
            rule.to_do,
        )
        for incident_type, rule in RULES.items()
    ]
    head = (
        f"# Incidents\n\n{HEAD}\n"
        "`doai incidents` lists them. Of one type about one thing at most one is open; it closes by itself when it "
        "is over. One that a person resolved and that is still so opens anew after "
        f"{limits.INCIDENT_REOPENS_S / 60:g} minutes. The measure is a number of tasks, facts or times, a share, a "
        "factor, seconds, or 1 for what is so or not.\n"
    )
    return head + "\n" + table(("type", "severity", "means", "opens at", "closes", "what to do"), rows)


def _api() -> str:
    document = describe_api()
    rows: dict[str, list[tuple[str, str, str]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not isinstance(operation, dict) or "responses" not in operation:
                continue
            answers = ", ".join(sorted(operation["responses"]))
            said = operation.get("summary", "")
            group = (operation.get("tags") or ["other"])[0]
            rows.setdefault(group, []).append((f"`{method.upper()} {path}`", said, answers))
    parts = [
        (
            f"# HTTP API\n\n{HEAD}\n"
            "Everything below `/api/v1` wants `Authorization: Bearer TOKEN`. Errors are `application/problem+json` "
            "with one sentence in `detail`. `GET /schema/openapi.json` is the whole description, with the shape "
            "and an example of every body and answer.\n"
        ),
    ]
    for group in sorted(rows):
        parts += [f"## {group}\n", table(("operation", "what it does", "answers"), sorted(rows[group], key=_place))]
    return "\n".join(parts)


def _place(row: Sequence[str]) -> tuple[str, str]:
    method, _, path = row[0].strip("`").partition(" ")
    return path, method
