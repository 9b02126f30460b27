"""`bin/chaos`: hurts a real fleet for a while and reconciles it (all steps).

Exit codes: 0 nothing is lost and nothing happened twice, 2 usage, 3 something was, 4 fewer than half of the kills
hit running tasks and facts that nobody had taken yet, 130 stopped by hand.
"""

from __future__ import annotations

import secrets
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

import trio

from doai.cli.child import ChildFailed
from doai.command_line import CommandLine
from tests.chaos.campaign import Plan, Report, run_campaign, table

EXIT_BROKEN, EXIT_BADLY_AIMED, EXIT_STOPPED = 3, 4, 130
STORIES_MAX = 5
AIM_MIN = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = CommandLine(prog="chaos", description="Hurts a real fleet for a while and reconciles it.")
    parser.add_argument("--minutes", type=float, default=3.0, help="how long faults happen (3)")
    parser.add_argument("--seed", type=int, help="of the faults and the load (any)")
    parser.add_argument("--nodes", type=int, default=2, help="nodes (2)")
    parser.add_argument("--phones", type=int, default=10, help="simulated phones, dealt out to the nodes (10)")
    options = parser.parse_args(argv)
    if options.minutes <= 0 or options.nodes < 1 or options.phones < options.nodes:
        parser.error("give some time, at least one node, and a phone for each")
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    plan = Plan(seconds=options.minutes * 60, seed=seed, nodes=options.nodes, phones=options.phones)
    print(f"seed {seed}: {plan.nodes} nodes, {plan.phones} phones, faults for {plan.seconds:.0f} s", flush=True)
    report, broke = None, ""
    with tempfile.TemporaryDirectory(prefix="doai-chaos-") as folder:
        try:
            report = trio.run(_run, plan, Path(folder) / "fleet")
        except* (ChildFailed, AssertionError, trio.TooSlowError) as group:
            # A program that does not come back, a command that is never answered: nothing is left to reconcile.
            broke = "".join(traceback.format_exception(group))
    if broke:
        print(f"{broke}\nFAILED: the fleet did not come back; again: {_again(plan)}", file=sys.stderr)
        return EXIT_BROKEN
    if report is None:
        print("stopped by hand: nothing is proven", file=sys.stderr)
        return EXIT_STOPPED
    return tell(report)


async def _run(plan: Plan, data_dir: Path) -> Report | None:
    """Run a campaign that Ctrl-C and SIGTERM end cleanly; None if they did."""
    report = None
    async with trio.open_nursery() as nursery:

        async def stop_by_signal(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                task_status.started()
                async for _ in signals:
                    nursery.cancel_scope.cancel()

        await nursery.start(stop_by_signal)
        report = await run_campaign(plan, data_dir, lambda line: print(line, flush=True))
        nursery.cancel_scope.cancel()
    return report


def _again(plan: Plan) -> str:
    return (
        f"bin/chaos --minutes {plan.seconds / 60:g} --seed {plan.seed} --nodes {plan.nodes} --phones {plan.phones}"
    )


def tell(report: Report) -> int:
    """Print a report; return the exit code."""
    tasks = ", ".join(f"{count} {state}" for state, count in sorted(report.states.items()))
    print(f"\n{report.runs} runs acknowledged, {report.cancelled} tasks cancelled, {report.refused} runs refused")
    print(f"{sum(report.states.values())} tasks: {tasks}; {report.events} events, {report.artifacts} artifacts")
    print(f"quiet {report.settled_s:.1f} s after the last fault")
    kills = [injury.aim for injury in report.injuries if injury.aim is not None]
    good = sum(aim.good for aim in kills)
    print(f"{good} of {len(kills)} kills hit running tasks and facts that nobody had taken yet")
    of_bot = [injury.in_handler for injury in report.injuries if injury.in_handler is not None]
    again = f"{report.handled_again} events came to it again"
    print(f"{sum(of_bot)} of {len(of_bot)} kills of the bot hit a handler at work, {again}")
    print("the operator: " + ", ".join(f"{kind} {count}" for kind, count in report.deeds.items()))
    if report.deeds_refused:
        told = ", ".join(f"{code} {count}" for code, count in sorted(report.deeds_refused.items()))
        print(f"  refused to the operator: {told}")
    for kind in report.skipped:
        print(f"SKIPPED: {kind}: this user may not mount a small disk")
    print("\n" + "\n".join(table(report)))
    for number, finding in enumerate(report.findings):
        print(f"\nFAILED: {finding.text}")
        for line in finding.story if number < STORIES_MAX else ():
            print(f"  {line}")
    if report.findings:
        print(f"\n{len(report.findings)} findings; again: {_again(report.plan)}")
        return EXIT_BROKEN
    if good < AIM_MIN * len(kills):
        print(f"\nFAILED: less than {AIM_MIN:.0%} of the kills were aimed well: the campaign proves too little")
        return EXIT_BADLY_AIMED
    print("\nnothing is lost, nothing happened twice")
    return 0


if __name__ == "__main__":
    sys.exit(main())
