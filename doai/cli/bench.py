"""`bin/bench NAME`: runs one benchmark of the folder bench/ and prints its figures (all steps)."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

import msgspec

from doai.cli import exits
from doai.errors import DoaiError

_NOT_BENCHMARKS = frozenset(
    {"backlog", "link_node", "mesh_client", "programs", "report", "store_floor", "store_view"}
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="bench", description="Measures, and compares with a reference measured in the same run."
    )
    parser.add_argument("name", nargs="?", help="which benchmark, see --list")
    parser.add_argument("--list", action="store_true", help="list the benchmarks")
    parser.add_argument("--json", action="store_true", help="one JSON object a figure and line")
    options = parser.parse_args(argv)
    try:
        package = importlib.import_module("bench")
    except ModuleNotFoundError:
        print("bench: there is no folder bench/ here: run it in a checkout of the project", file=sys.stderr)
        return exits.UNAVAILABLE
    names = sorted({module.name for module in pkgutil.iter_modules(package.__path__) if not module.ispkg})
    names = [name for name in names if name not in _NOT_BENCHMARKS]
    if options.list:
        for name in names:
            print((importlib.import_module(f"bench.{name}").__doc__ or name).splitlines()[0])
        return exits.PASSED
    if options.name not in names:
        print(f"bench: no benchmark {options.name!r}: choose one of {', '.join(names)}", file=sys.stderr)
        return exits.USAGE
    try:
        _run(importlib.import_module(f"bench.{options.name}"), as_json=options.json)
    except* DoaiError as group:
        print(f"bench: {_first(group)}", file=sys.stderr)
        return_code = exits.UNAVAILABLE
    except* KeyboardInterrupt:
        return_code = exits.INTERRUPTED
    else:
        return_code = exits.PASSED
    return return_code


def _first(group: BaseExceptionGroup[DoaiError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _run(benchmark: ModuleType, *, as_json: bool) -> None:
    report = importlib.import_module("bench.report")
    commit = report.current_commit()
    lines = []
    for line in benchmark.run():
        lines.append(msgspec.structs.replace(line, commit=commit))
        if as_json:
            print(msgspec.json.encode(lines[-1]).decode(), flush=True)
    if not as_json:
        print(report.table(lines))


if __name__ == "__main__":
    sys.exit(main())
