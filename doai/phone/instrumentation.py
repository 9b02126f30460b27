"""The tests in a test app, and what `am instrument -r` says of them (way of a task: 9).

No code of an app runs on this phone, so a test app brings a list of its tests and how each ends, in the file
assets/doai-tests.txt of its APK, one a line: ``CLASS#NAME OUTCOME [SECONDS [MESSAGE]]``. OUTCOME is passed, failed,
ignored, assumption or crashed. Lines that say something else are left out.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

TESTS_ENTRY = "assets/doai-tests.txt"
TEST_S_MAX = 60.0

_LINE = re.compile(
    r"(?P<class>[\w.$]+)#(?P<name>[^\s#]+)[ \t]+(?P<outcome>passed|failed|ignored|assumption|crashed)"
    r"(?:[ \t]+(?P<seconds>\d+(?:\.\d+)?)(?:[ \t]+(?P<message>.*))?)?"
)
_CODES = {"passed": 0, "failed": -2, "ignored": -3, "assumption": -4}
"""androidx.test.internal.runner.listener.InstrumentationResultPrinter.REPORT_VALUE_RESULT_*."""


class TestCase(msgspec.Struct, frozen=True):
    """One test and how it ends."""

    __test__ = False

    class_name: str
    name: str
    outcome: str
    duration_s: float
    message: str


def read_tests(text: str) -> tuple[TestCase, ...]:
    """The tests that are listed in a text."""
    found = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return tuple(
        TestCase(
            match["class"],
            match["name"],
            match["outcome"],
            min(float(match["seconds"] or 0.01), TEST_S_MAX),
            match["message"] or "",
        )
        for match in found
        if match is not None
    )


def chosen(tests: Sequence[TestCase], wanted: str) -> list[TestCase]:
    """The tests that `-e class A,B#name` means; all when it is empty."""
    names = [name for name in wanted.split(",") if name]
    return [test for test in tests if not names or {test.class_name, f"{test.class_name}#{test.name}"} & set(names)]


def report(tests: Sequence[TestCase]) -> Iterator[tuple[float, str]]:
    """Yields how long to wait and what to print then, until the tests are over or one crashes."""
    failed: list[TestCase] = []
    for number, test in enumerate(tests, 1):
        yield 0.0, _status(test, number, len(tests), 1, f"\n{test.class_name}:" if number == 1 else "")
        if test.outcome == "crashed":
            reason = test.message or "java.lang.IllegalStateException"
            said = f"INSTRUMENTATION_RESULT: shortMsg=Process crashed.\nINSTRUMENTATION_RESULT: longMsg={reason}\n"
            yield test.duration_s, f"{said}INSTRUMENTATION_CODE: 0\n"
            return
        if test.outcome == "failed":
            failed.append(test)
        yield test.duration_s, _ended(test, number, len(tests))
    total_s = sum(test.duration_s for test in tests)
    verdict = (
        f"FAILURES!!!\nTests run: {len(tests)},  Failures: {len(failed)}"
        if failed
        else f"OK ({len(tests)} test{'s' if len(tests) != 1 else ''})"
    )
    yield (
        0.0,
        f"INSTRUMENTATION_RESULT: stream=\n\nTime: {total_s:.3f}\n\n{verdict}\n\n\nINSTRUMENTATION_CODE: -1\n",
    )


def _ended(test: TestCase, number: int, count: int) -> str:
    code = _CODES[test.outcome]
    message = test.message or "the test says nothing"
    stack = ""
    if test.outcome in ("failed", "assumption"):
        kind = "java.lang.AssertionError" if test.outcome == "failed" else "org.junit.AssumptionViolatedException"
        stack = (
            f"{kind}: {message}\n\tat {test.class_name}.{test.name}({test.class_name.rpartition('.')[2]}.kt:1)\n"
        )
    return _status(test, number, count, code, "." if code == 0 else "", stack)


def _status(test: TestCase, number: int, count: int, code: int, stream: str, stack: str = "") -> str:
    values = {
        "class": test.class_name,
        "current": number,
        "id": "AndroidJUnitRunner",
        "numtests": count,
        **({"stack": stack} if stack else {}),
        "stream": stream,
        "test": test.name,
    }
    lines = "".join(f"INSTRUMENTATION_STATUS: {key}={value}\n" for key, value in values.items())
    return f"{lines}INSTRUMENTATION_STATUS_CODE: {code}\n"
