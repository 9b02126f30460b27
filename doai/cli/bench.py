"""`bin/bench NAME`: runs one benchmark of the folder bench/ and prints its figures (all steps)."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

import msgspec

from doai.cli import exits
from doai.command_line import CommandLine
from doai.errors import DoaiError, leaves_of

_DESCRIPTION = """\
Measures, each figure against a reference measured in the same run: a ratio of 1 is as good as the reference, more
is better. A run appends one line to bench/history.jsonl: figures, commit, kind of machine."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    try:
        package = importlib.import_module("bench")
    except ModuleNotFoundError:
        print("bench: there is no folder bench/ here: run it in a checkout of the project", file=sys.stderr)
        return exits.UNAVAILABLE
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.ispkg)
    benchmarks = {name: module for name in names if hasattr(module := _module(name), "run")}
    options = _parser(benchmarks).parse_args(argv)
    if options.list:
        print(_listed(benchmarks))
        return exits.PASSED
    works: dict[str, Callable[[], None]] = {
        "compare": lambda: _compare(options),
        "report": lambda: print(_module("charts").write()),
    }
    if options.install and options.name == "peers":
        works["peers"] = lambda: print(_module("peers").install())
    work = works.get(options.name)
    if work is None and options.name in benchmarks:
        benchmark = benchmarks[options.name]
        if options.long and not hasattr(benchmark, "run_long"):
            print(f"bench: {options.name} has no long form: see --help", file=sys.stderr)
            return exits.USAGE
        work = lambda: _run(options.name, benchmark, options)  # noqa: E731
    if work is None:
        known = ", ".join([*benchmarks, *works])
        print(f"bench: no benchmark {options.name!r}: choose one of {known}", file=sys.stderr)
        return exits.USAGE
    if options.install and options.name != "peers":
        print("bench: only `peers` has something to install: see --help", file=sys.stderr)
        return exits.USAGE
    if (len(options.commits) == 2) is not (options.name == "compare"):
        print("bench: two commits follow `compare`, and nothing another name: see --help", file=sys.stderr)
        return exits.USAGE
    return _guarded(work)


def _parser(benchmarks: dict[str, ModuleType]) -> argparse.ArgumentParser:
    parser = CommandLine(
        prog="bench",
        usage="bench NAME [--long] [--json] [--no-history]\n"
        "       bench compare BEFORE AFTER [--of NAME] [--rounds N] [--own] [--json]\n"
        "       bench report\n"
        "       bench peers --install",
        description=_DESCRIPTION,
        epilog="benchmarks:\n" + _listed(benchmarks),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", help="a benchmark of the list below, `compare` or `report`")
    parser.add_argument("commits", nargs="*", help="of compare: two commits; `.` is the checkout as it is now")
    parser.add_argument("--list", action="store_true", help="list the benchmarks")
    parser.add_argument("--json", action="store_true", help="one JSON object a figure and line")
    parser.add_argument(
        "--long", action="store_true", help="of memory: over 1,000,000 tasks; minutes, and 3 GB of disk"
    )
    parser.add_argument("--no-history", action="store_true", help="append nothing to bench/history.jsonl")
    parser.add_argument("--of", metavar="NAME", default="broker", help="of compare: the benchmark (broker)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="of compare: rounds of each commit (5; of fewer than 4 no verdict)"
    )
    parser.add_argument(
        "--install", action="store_true", help="of peers: set up Redis and the other queues in a cache folder, once"
    )
    parser.add_argument(
        "--own", action="store_true", help="of compare: each commit by its own benchmark, not both by the second's"
    )
    return parser


def _listed(benchmarks: dict[str, ModuleType]) -> str:
    return "\n".join((module.__doc__ or name).splitlines()[0] for name, module in benchmarks.items())


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"bench.{name}")


def _guarded(work: Callable[[], None]) -> int:
    try:
        work()
    except* DoaiError as group:
        print(f"bench: {leaves_of(group)[0]}", file=sys.stderr)
        return_code = exits.UNAVAILABLE
    except* KeyboardInterrupt:
        return_code = exits.INTERRUPTED
    else:
        return_code = exits.PASSED
    return return_code


def _run(name: str, benchmark: ModuleType, options: argparse.Namespace) -> None:
    report, history = _module("report"), _module("history")
    commit, machine = report.current_commit(), history.machine()
    lines = []
    for line in benchmark.run_long() if options.long else benchmark.run():
        lines.append(msgspec.structs.replace(line, commit=commit))
        if options.json:
            print(msgspec.json.encode(lines[-1]).decode(), flush=True)
    if not options.no_history:
        history.append(f"{name}-long" if options.long else name, lines, machine)
    if not options.json:
        print(report.table(lines))


def _compare(options: argparse.Namespace) -> None:
    compare = _module("compare")
    before, after = options.commits
    found = compare.compare(before, after, options.of, max(2, options.rounds), own=options.own)
    if options.json:
        for each in found:
            print(msgspec.json.encode(each).decode())
    else:
        print(compare.table(found))


if __name__ == "__main__":
    sys.exit(main())
