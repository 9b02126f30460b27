"""Man pages of the programs, from their argument parsers: roff as man(7) has it (before all steps)."""

from __future__ import annotations

from collections.abc import Sequence

from doai import __version__
from doai.cli.command_tree import PROGRAMS, Argument, Command, daemon, doai_commands, shared_flags


def manual() -> dict[str, str]:
    """Return every page: file name -> text."""
    pages = {"doai.1": _doai()}
    for program in PROGRAMS:
        pages[f"doai-{program}.1"] = _daemon(program)
    return pages


def _doai() -> str:
    parts = [_head("doai", "run versioned workflows on fleets of Android devices")]
    parts.append(".SH SYNOPSIS\n.B doai\n.I COMMAND\n[\\fIARGUMENT\\fR ...]\n.SH COMMANDS\n")
    parts += [
        f".SS {escape(command.usage)}\n{escape(command.summary)}\n{_arguments(command.arguments)}"
        for command in doai_commands()
    ]
    parts.append(f".SH COMMON FLAGS\nOf every command that talks to the API.\n{_arguments(shared_flags())}")
    parts.append(".SH SEE ALSO\n" + ", ".join(f"\\fBdoai-{program}\\fR(1)" for program in PROGRAMS) + "\n")
    return "".join(parts)


def _daemon(program: str) -> str:
    command: Command = daemon(program)
    head = _head(f"doai-{program}", command.summary.rstrip("."))
    return (
        f"{head}.SH SYNOPSIS\n.B bin/{program}\n[\\fIFLAGS\\fR]\n.SH DESCRIPTION\n{escape(command.summary)}\n"
        f"Flags win over variables, variables over the file, the file over the defaults.\n"
        f".SH OPTIONS\n{_arguments(command.arguments)}.SH SEE ALSO\n\\fBdoai\\fR(1)\n"
    )


def _head(name: str, purpose: str) -> str:
    return f'.TH {name.upper()} 1 "" "doai {__version__}"\n.SH NAME\n{name} \\- {escape(purpose)}\n'


def _arguments(arguments: Sequence[Argument]) -> str:
    return "".join(f".TP\n.B {escape(each.form)}\n{escape(each.meaning) or chr(92) + '&'}\n" for each in arguments)


def escape(text: str) -> str:
    """Return text that roff shows as it is."""
    line = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{line}" if line.startswith((".", "'")) else line
