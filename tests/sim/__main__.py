"""`bin/sim`: runs seeds of the simulator and says what broke (all steps).

Exit codes: 0 all held, 2 usage, 3 a rule was broken, 4 the product raised an error, 5 a kind of fault never
happened, 6 fewer branches were taken than wanted.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from doai.command_line import CommandLine
from tests.sim.campaign import Report, run_campaign
from tests.sim.simulation import Verdict
from tests.sim.stopwatch import COUNTED_S

EXIT_BROKEN, EXIT_RAISED, EXIT_NO_FAULT, EXIT_COVERAGE = 3, 4, 5, 6
STORIES_MAX = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = CommandLine(
        prog="sim",
        description="Simulates fleets from seeds and checks every rule.",
        epilog="Task-hours are the simulated time of tasks from their first step to their end, of those alone "
        f"that took at most {COUNTED_S:.0f} simulated seconds.",
    )
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds (200)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed (0)")
    parser.add_argument("--seed", type=int, help="only this one, with its story if it breaks a rule")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--scale", type=float, default=1.0, help="how much work a world has (1.0)")
    parser.add_argument("--coverage", action="store_true", help="measure branches; slower")
    parser.add_argument("--coverage-min", type=float, default=0.0, help="exit 6 below this percentage")
    options = parser.parse_args(argv)
    if options.seeds < 1 or options.jobs < 1 or not 0 < options.scale < math.inf:
        parser.error("give at least one seed, one process, and a scale above 0")
    one = options.seed is not None
    seeds = [options.seed] if one else range(options.first, options.first + options.seeds)
    jobs = 1 if one else options.jobs
    measure = options.coverage or options.coverage_min > 0
    report = run_campaign(seeds, jobs=jobs, scale=options.scale, measure=measure)
    _print(report, options.scale)
    return _exit_code(report, options.coverage_min)


def _exit_code(report: Report, coverage_min: float) -> int:
    failures = report.failures
    if any(not failure.kind.startswith("raised_") for failure in failures):
        return EXIT_BROKEN
    if failures:
        return EXIT_RAISED
    if report.never_fired():
        return EXIT_NO_FAULT
    if report.coverage_percent is not None and report.coverage_percent < coverage_min:
        return EXIT_COVERAGE
    return 0


def _print(report: Report, scale: float) -> None:
    verdicts, wall_s = report.verdicts, report.wall_s
    times = [verdict.times for verdict in verdicts]
    hours = sum(time.counted_s for time in times) / 3600
    counted, longer = sum(time.counted for time in times), sum(time.longer for time in times)
    print(f"seeds              {len(verdicts)} in {wall_s:.1f} s: {len(verdicts) / wall_s:.2f} a second")
    print(f"simulated          {sum(verdict.simulated_s for verdict in verdicts) / 3600:.1f} h of fleets")
    print(
        f"tasks              {sum(verdict.tasks for verdict in verdicts)}, {sum(v.tries for v in verdicts)} steps"
    )
    rates = f"{hours / wall_s:.2f} a wall second, {hours / report.cpu_s:.2f} a CPU second"
    print(f"task-hours         {hours:.1f}: {rates}")
    print(f"                   of {counted} tasks that took at most {COUNTED_S:.0f} s from first step to end")
    print(
        f"                   ({hours * 3600 / max(1, counted):.0f} s on average); {longer} took longer: not counted"
    )
    print("faults")
    for kind, count in sorted(report.faults.items(), key=lambda pair: -pair[1]):
        print(f"  {count:>8}  {kind}")
    if report.coverage_percent is not None:
        print(f"branches taken     {report.coverage_percent:.1f} % of broker/core, node/core and link; not all of:")
        for line in report.missing:
            print(f"  {line}")
    for kind in report.never_fired():
        print(f"FAILED: the fault {kind} never happened in {len(verdicts)} seeds")
    for number, failure in enumerate(report.failures):
        _print_failure(failure, scale, story=number < STORIES_MAX)
    if not report.failures:
        print("all rules held")


def _print_failure(failure: Verdict, scale: float, *, story: bool) -> None:
    scaled = "" if scale == 1.0 else f" --scale {scale:g}"
    print(f"\nFAILED: {failure.kind}: {failure.message}")
    print(f"  replay: bin/sim --seed {failure.seed}{scaled}")
    if story:
        for line in failure.story:
            print(f"  {line}")


if __name__ == "__main__":
    sys.exit(main())
