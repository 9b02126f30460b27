"""app.instrument: what the runner writes, and results as outputs, sentence and artifact."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.errors import ErrorClass
from doai.limits import STEP_OUTPUTS_BYTES_MAX
from doai.node.steps.instrument import told
from doai.node.steps.instrument_report import Test, parse_report
from doai.workflow.app_steps import TESTS_TOLD_MAX
from tests.apk.builder import RUNNER, make_apk

Make = Callable[[dict[str, Any]], Any]
TEST_APP = "com.example.login.test"
TESTS = """
com.example.LoginTest#logsIn passed 0.2
com.example.LoginTest#keepsName ignored
com.example.LoginTest#needsCamera assumption 0.1 no camera here
com.example.OtherTest#fails failed 0.1 expected:<a> but was:<b>
"""


async def install(bench: Any, tests: str) -> None:
    """Put a test app with these tests on the simulated phone."""
    apk = make_apk(TEST_APP, instruments="com.example.login", tests=tests)
    assert (await bench.device.shell(f"pm install -r -S {len(apk)}", stdin=apk)).text == "Success"


async def test_tests_that_pass_are_outputs_and_an_artifact(phone: Any) -> None:
    await install(phone, TESTS)
    done = await phone.do("app.instrument", package=TEST_APP, tests=["com.example.LoginTest"])
    assert (done.tests, done.passed, done.failed, done.skipped) == (3, 1, 0, 2)
    assert [(result.test, result.outcome) for result in done.results] == [
        ("com.example.LoginTest#keepsName", "skipped"),
        ("com.example.LoginTest#needsCamera", "skipped"),
        ("com.example.LoginTest#logsIn", "passed"),
    ]
    assert phone.context.spooled == [done.artifact]
    suite = ET.fromstring(phone.context.kept[done.artifact])
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "0", "2")
    assert [case.get("name") for case in suite] == ["logsIn", "keepsName", "needsCamera"]


async def test_a_test_that_fails_fails_the_step_and_its_artifact_is_kept(phone: Any) -> None:
    await install(phone, TESTS)
    error = await phone.fail("app.instrument", package=TEST_APP)
    assert (error.failure.error_class, error.code) == (ErrorClass.APP, "tests_failed")
    assert "1 of 4 tests" in str(error)
    assert "com.example.OtherTest#fails: java.lang.AssertionError: expected:<a> but was:<b>" in str(error)
    (artifact,) = phone.context.spooled
    failure = ET.fromstring(phone.context.kept[artifact]).find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "java.lang.AssertionError: expected:<a> but was:<b>"
    assert "at com.example.OtherTest.fails" in (failure.text or "")


async def test_the_recipe_may_judge_by_itself(phone: Any) -> None:
    await install(phone, TESTS)
    done = await phone.do("app.instrument", package=TEST_APP, failures_ok=True)
    assert (done.failed, done.results[0].outcome) == (1, "failed")


async def test_a_crash_names_the_test_it_was_in(phone: Any) -> None:
    crash = "com.a.T#two crashed 0.1 java.lang.OutOfMemoryError"
    await install(phone, f"com.a.T#one passed\n{crash}\ncom.a.T#three passed")
    error = await phone.fail("app.instrument", package=TEST_APP)
    assert (error.failure.error_class, error.code) == (ErrorClass.APP, "tests_crashed")
    assert "crashed in com.a.T#two after 2 of 3: java.lang.OutOfMemoryError" in str(error)


async def test_tests_that_are_not_there(phone: Any) -> None:
    error = await phone.fail("app.instrument", package=TEST_APP)
    assert (error.failure.error_class, error.code) == (ErrorClass.APP, "no_instrumentation")
    error = await phone.fail("app.instrument", package=TEST_APP, runner=RUNNER)
    assert error.code == "no_instrumentation"
    await install(phone, TESTS)
    error = await phone.fail("app.instrument", package=TEST_APP, tests=["com.example.NoTest"])
    assert (error.failure.error_class, error.code) == (ErrorClass.APP, "too_few_tests")
    await phone.device.shell("pm uninstall com.example.login")
    error = await phone.fail("app.instrument", package=TEST_APP)
    assert error.code == "app_not_installed"
    assert "com.example.login is not installed" in str(error)


async def test_one_of_several_runners_is_the_recipes_choice(scripted: Make) -> None:
    listed = f"instrumentation:{TEST_APP}/a.R (target=com.a)\ninstrumentation:{TEST_APP}/b.R (target=com.a)"
    error = await scripted({"pm list": listed}).fail("app.instrument", package=TEST_APP)
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, "ambiguous_runner")
    assert "a.R, b.R" in str(error)


async def test_arguments_are_quoted_for_the_devices_shell(scripted: Make) -> None:
    bench = scripted({"am instrument": "INSTRUMENTATION_CODE: -1"})
    await bench.do(
        "app.instrument",
        package=TEST_APP,
        runner="a.R",
        tests=["a.B#c", "a.D"],
        arguments={"size": "small; reboot"},
        tests_min=0,
    )
    assert bench.device.commands == [
        f"am instrument -w -r -e size 'small; reboot' -e class 'a.B#c,a.D' {TEST_APP}/a.R"
    ]


@pytest.mark.parametrize(
    ("text", "crashed", "refused"),
    [
        ("", "the runner ended early", ""),
        ("INSTRUMENTATION_RESULT: shortMsg=Process crashed.\nINSTRUMENTATION_CODE: 0", "Process crashed.", ""),
        ("INSTRUMENTATION_FAILED: com.a/b.R", "", "com.a/b.R"),
        ("INSTRUMENTATION_STATUS: Error=no\nINSTRUMENTATION_STATUS_CODE: -1\n", "", "no"),
        ("INSTRUMENTATION_RESULT: stream=\n\nOK\nINSTRUMENTATION_CODE: -1", "", ""),
    ],
)
def test_how_it_ended(text: str, crashed: str, refused: str) -> None:
    report = parse_report(text)
    assert (report.crashed, report.refused) == (crashed, refused)


def test_a_stack_of_several_lines_belongs_to_its_test() -> None:
    report = parse_report(
        "INSTRUMENTATION_STATUS: class=a.B\nINSTRUMENTATION_STATUS: stack=java.lang.Error: x\n\tat a.B.c(B.kt:1)\n"
        "INSTRUMENTATION_STATUS: test=c\nINSTRUMENTATION_STATUS: numtests=7\nINSTRUMENTATION_STATUS_CODE: -2\n"
        "INSTRUMENTATION_CODE: -1\n"
    )
    assert report.tests == (Test("a.B#c", "failed", "java.lang.Error: x\n\tat a.B.c(B.kt:1)"),)
    assert report.expected == 7


@given(st.lists(st.sampled_from(["INSTRUMENTATION_STATUS: a=b", "INSTRUMENTATION_STATUS_CODE: x", "\0", "test=1"])))
def test_nonsense_is_no_result_and_no_error(lines: list[str]) -> None:
    assert parse_report("\n".join(lines)).tests == ()


@given(st.text(max_size=400), st.sampled_from(["passed", "failed"]), st.text(max_size=400))
def test_what_is_told_fits_a_steps_outputs(name: str, outcome: Any, message: str) -> None:
    results = told([Test(name, outcome, message)] * 200)
    assert len(msgspec.json.encode(results)) < STEP_OUTPUTS_BYTES_MAX * 0.9
    assert len(results) <= TESTS_TOLD_MAX
