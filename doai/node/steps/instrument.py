"""app.instrument: the tests of a test app, each with its result (step 8)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

import msgspec
import trio

from doai.errors import ErrorClass, StepError
from doai.limits import STEP_OUTPUTS_BYTES_MAX
from doai.node.steps.base import StepContext, excerpt, step_failed
from doai.node.steps.instrument_report import Test, parse_report
from doai.node.steps.junit import junit_xml
from doai.node.steps.package import not_installed
from doai.workflow.app_steps import TESTS_TOLD_MAX, Instrument, InstrumentOutputs, TestResult

_MESSAGE_CHARACTERS_MAX: Final = 160
_RESULTS_BYTES_MAX: Final = STEP_OUTPUTS_BYTES_MAX * 3 // 4
"""What is left of a step's outputs is for the counts."""
_NAMED_IN_ERROR_MAX: Final = 3
_FIRST: Final = {"crashed": 0, "failed": 0, "skipped": 1, "passed": 2}
_LISTED: Final = re.compile(r"^instrumentation:(\S+?)/(\S+) \(target=\S+\)$", re.MULTILINE)


async def instrument(arguments: Instrument, context: StepContext) -> InstrumentOutputs:
    """Run tests; their results are kept as a file and handed over, also when the step fails then."""
    runner = arguments.runner or await _runner(context, arguments.package)
    began = trio.current_time()
    output = await context.device.shell(_command(arguments, runner))
    duration_ms = round((trio.current_time() - began) * 1000)
    report = parse_report(output.text)
    if report.refused:
        raise _refused(report.refused, arguments.package, runner)
    ref = await context.keep_artifact(
        junit_xml(arguments.package, context.device.serial, report, duration_ms),
        extension="xml",
        media_type="application/xml",
        name="tests",
    )
    await context.spool_artifact(ref.name)
    bad = [test for test in report.tests if test.outcome in ("failed", "crashed")]
    if report.crashed:
        running = f" in {bad[-1].name}" if bad and bad[-1].outcome == "crashed" else ""
        raise step_failed(
            ErrorClass.APP,
            "tests_crashed",
            f"The tests of {arguments.package} crashed{running} after {len(report.tests)} of {report.expected}: "
            f"{excerpt(report.crashed)}; see {ref.name}.",
        )
    if bad and not arguments.failures_ok:
        raise _failed(arguments.package, bad, len(report.tests), ref.name)
    if len(report.tests) < arguments.tests_min:
        raise step_failed(
            ErrorClass.APP,
            "too_few_tests",
            f"{len(report.tests)} tests of {arguments.package} ran, and at least {arguments.tests_min} should: "
            f"look at `tests` and `arguments`; the device said: {excerpt(output.text)}.",
        )
    outcomes = [test.outcome for test in report.tests]
    return InstrumentOutputs(
        tests=len(outcomes),
        passed=outcomes.count("passed"),
        failed=len(bad),
        skipped=outcomes.count("skipped"),
        duration_ms=duration_ms,
        results=told(report.tests),
        artifact=ref.name,
    )


def told(tests: Sequence[Test]) -> list[TestResult]:
    """Choose what fits a step's outputs: failures first, then what was skipped, then the rest."""
    results: list[TestResult] = []
    size_bytes = 0
    for test in sorted(tests, key=lambda test: _FIRST[test.outcome]):
        message = excerpt(test.message, _MESSAGE_CHARACTERS_MAX) if test.outcome in ("failed", "crashed") else ""
        name = test.name[: 2 * _MESSAGE_CHARACTERS_MAX]
        result = TestResult(test=name, outcome=test.outcome, message=message)
        size_bytes += len(msgspec.json.encode(result)) + 1
        if len(results) >= TESTS_TOLD_MAX or size_bytes > _RESULTS_BYTES_MAX:
            break
        results.append(result)
    return results


def _command(arguments: Instrument, runner: str) -> str:
    values = dict(arguments.arguments)
    if arguments.tests:
        values["class"] = ",".join(arguments.tests)
    options = "".join(f" -e {shlex.quote(name)} {shlex.quote(value)}" for name, value in values.items())
    return f"am instrument -w -r{options} {shlex.quote(f'{arguments.package}/{runner}')}"


async def _runner(context: StepContext, package: str) -> str:
    listed = _LISTED.findall((await context.device.shell("pm list instrumentation")).text)
    found = [runner for name, runner in listed if name == package]
    if not found:
        known = ", ".join(sorted({name for name, _ in listed})) or "no test app at all"
        raise step_failed(
            ErrorClass.APP,
            "no_instrumentation",
            f"The device has no tests in {package}: install the test app first; it has: {excerpt(known)}.",
        )
    if len(found) > 1:
        raise step_failed(
            ErrorClass.USER,
            "ambiguous_runner",
            f"{package} has several runners ({excerpt(', '.join(found))}): name one as `runner`.",
        )
    return str(found[0])


def _refused(reason: str, package: str, runner: str) -> StepError:
    if "instrumentation target package" in reason:
        return not_installed(reason.rpartition(":")[2].strip() or package)
    if "instrumentation info" in reason:
        return step_failed(
            ErrorClass.APP,
            "no_instrumentation",
            f"The device has no {package}/{runner}: install the test app, or name its runner as `runner`.",
        )
    return step_failed(
        ErrorClass.APP, "instrument_refused", f"Android did not start the tests of {package}: {excerpt(reason)}."
    )


def _failed(package: str, bad: Sequence[Test], count: int, artifact: str) -> StepError:
    named = "; ".join(
        f"{excerpt(test.name, 120)}: {excerpt(test.message, 120)}" for test in bad[:_NAMED_IN_ERROR_MAX]
    )
    more = f" and {len(bad) - _NAMED_IN_ERROR_MAX} more" if len(bad) > _NAMED_IN_ERROR_MAX else ""
    return step_failed(
        ErrorClass.APP,
        "tests_failed",
        f"{len(bad)} of {count} tests of {package} failed ({named}{more}); see {artifact}.",
    )
