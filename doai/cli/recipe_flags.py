"""The flags of `doai workflows` (step 2)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from doai.cli.place import add_place_flags


def add_workflows(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the group with its actions; ``add`` makes a command that may talk to the API."""
    group = commands.add_parser("workflows", help="Store, list, compare and draw workflows.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    store = add(actions, "add", "Store workflow files as new versions.", "recipes", "add")
    store.add_argument("files", nargs="+", metavar="FILE")
    add(actions, "list", "List workflows.", "recipes", "show_list")
    show = add(actions, "show", "Show a workflow as stored.", "recipes", "show_one")
    show.add_argument("name", help="NAME or NAME@VERSION")
    versions = add(actions, "versions", "List the versions of a workflow with their states.", "recipes", "versions")
    versions.add_argument("name", metavar="NAME")
    diff = add(actions, "diff", "Tell what differs between two versions.", "recipes", "diff")
    diff.add_argument("old", metavar="NAME@OLD")
    diff.add_argument("new", metavar="NAME@NEW")
    for name, summary in (
        ("activate", "Make a version active: a bare name means the newest active one."),
        ("archive", "Archive a version: no run can be made of it, those that were made go on."),
    ):
        change = add(actions, name, summary, "recipes", name)
        change.add_argument("name", metavar="NAME@VERSION")
    _add_files(actions)


def _add_files(actions: Any) -> None:
    def offline(name: str, summary: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=summary)
        function = name.replace("-", "_")
        parser.set_defaults(offline=("recipe_files", function))
        return parser

    validate = offline("validate", "Check workflow files here, without an installation; exit code 1 for a mistake.")
    validate.add_argument("files", nargs="+", metavar="FILE")
    validate.add_argument("--json", action="store_true", help="print JSON for programs instead of lines")
    graph = offline("graph", "Draw the graph of a workflow's steps as SVG.")
    graph.add_argument("what", metavar="FILE|NAME", help="a file, or NAME or NAME@VERSION as stored")
    graph.add_argument("--out", metavar="FILE", help="write it there instead of stdout")
    graph.add_argument("--lang", choices=("en", "ko"), default="en", help="language of its title (en)")
    add_place_flags(graph)
    maestro = offline("import-maestro", "Make a workflow of a Maestro flow; exit code 5 when a part was left out.")
    maestro.add_argument("flow", metavar="FILE", help="the flow, a YAML file")
    maestro.add_argument("--out", metavar="FILE", help="write the workflow there instead of stdout")
    maestro.add_argument("--name", help="of the workflow (default: the flow's own, or that of its file)")
    maestro.add_argument("--json", action="store_true", help="print JSON for programs")
