"""`doai workflows validate|graph|import-maestro`: workflow files, without an installation (step 2)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import msgspec

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.place import find_place
from doai.cli.whole_file import write_whole
from doai.errors import UserError
from doai.workflow.drawing import draw
from doai.workflow.maestro import import_flow
from doai.workflow.mistakes import WorkflowError
from doai.workflow.model import Workflow, from_stored, parse_workflow

FILE_ENDINGS: Final = (".yaml", ".yml", ".json")


def validate(options: argparse.Namespace) -> int:
    """`doai workflows validate FILE...`: every mistake as ``file:line:column: sentence``; 1 when there is one."""
    told = []
    for name in options.files:
        path = Path(name)
        try:
            workflow = parse_workflow(read_text(path))
        except WorkflowError as error:
            told.append({"file": name, "valid": False, "mistakes": msgspec.to_builtins(error.mistakes)})
            for mistake in error.mistakes if not options.json else ():
                place = f":{mistake.line}:{mistake.column}" if mistake.line else ""
                where = f"{mistake.path}: " if mistake.path else ""
                print(f"{name}{place}: {where}{mistake.message}")
            continue
        told.append({"file": name, "valid": True, "workflow": workflow.name, "steps": len(workflow.steps)})
        if not options.json:
            print(f"{name}: {workflow.name} has no mistakes ({show.many(len(workflow.steps), 'step')})")
    if options.json:
        show.print_json(told)
    return exits.PASSED if all(item["valid"] for item in told) else exits.NOT_PASSED


def graph(options: argparse.Namespace) -> int:
    """`doai workflows graph FILE|NAME [--out FILE]`: an SVG; of a file without asking anybody."""
    if options.what.endswith(FILE_ENDINGS):
        picture = draw(parse_file(Path(options.what)), language=options.lang)
    else:
        from doai.cli.runs import get_workflow

        with Client(find_place(options)) as client:
            found = get_workflow(client, options.what)
        workflow = from_stored(msgspec.json.encode(found["recipe"]))
        picture = draw(workflow, version=found["version"], language=options.lang)
    if options.out:
        write_whole(Path(options.out), picture.encode())
        print(options.out)
    else:
        sys.stdout.write(picture)
    return exits.PASSED


def import_maestro(options: argparse.Namespace) -> int:
    """`doai workflows import-maestro FILE [--out FILE]`: 0 all of it, 5 in part, 1 nothing."""
    path = Path(options.flow)
    try:
        found = import_flow(read_text(path), name=options.name or path.stem, rename=bool(options.name))
    except WorkflowError as error:
        raise WorkflowError(str(path), error.mistakes) from None
    if options.out:
        write_whole(Path(options.out), found.text.encode())
    elif not options.json:
        sys.stdout.write(found.text)
    if options.json:
        told = {"workflow": found.name, "steps": found.steps, "partial": found.is_partial, "out": options.out}
        show.print_json({**told, "notes": msgspec.to_builtins(found.notes), "text": found.text})
        return exits.PARTIAL if found.is_partial else exits.PASSED
    for note in found.notes:
        print(f"{path}:{note.line}: {note.command}: {note.message}", file=sys.stderr)
    count = sum(note.left_out for note in found.notes)
    where = f" in {options.out}" if options.out else ""
    left_out = f", {show.many(count, 'command')} left out" if count else ""
    print(f"{found.name}: {show.many(found.steps, 'step')}{where}{left_out}", file=sys.stderr)
    return exits.PARTIAL if found.is_partial else exits.PASSED


def parse_file(path: Path) -> Workflow:
    """Return the workflow in a file; raises WorkflowError whose sentences name the file."""
    try:
        return parse_workflow(read_text(path))
    except WorkflowError as error:
        raise WorkflowError(str(path), error.mistakes) from None


def read_text(path: Path) -> str:
    """Return the text of a file; raises UserError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no UTF-8 text (byte {error.start}): save it as UTF-8") from None
