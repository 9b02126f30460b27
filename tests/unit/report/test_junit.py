"""JUnit XML: what Jenkins' schema junit-10.xsd allows and nothing else, whatever was written on devices."""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

from hypothesis import given
from hypothesis import strategies as st

from doai.errors import ErrorClass
from doai.report.junit import junit
from doai.report.results import Failure, Results
from tests.unit.report.sample import MIXED, results, step, task

# Element -> attributes it must have, attributes it may have, children it may have: read off junit-10.xsd.
SCHEMA: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": (
        {"name"},
        {"time", "classname", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
}
SUREFIRE_TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


def check(element: Xml.Element) -> None:
    must, may, children = SCHEMA[element.tag]
    assert must <= set(element.attrib) <= must | may, element.tag
    if "time" in element.attrib:
        assert SUREFIRE_TIME.fullmatch(element.attrib["time"])
    if element.tag == "testcase":
        assert sum(child.tag in ("failure", "error", "skipped") for child in element) <= 1
    for child in element:
        assert child.tag in children
        check(child)


def read(told: Results, *, by_step: bool = False) -> Xml.Element:
    """Return the one suite, checked against the schema and against its own counts."""
    root = Xml.fromstring(junit(told, by_step=by_step))
    check(root)
    [suite] = root
    cases = suite.findall("testcase")
    counts = [sum(case.find(kind) is not None for case in cases) for kind in ("failure", "error", "skipped")]
    assert [len(cases), *counts] == [int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")]
    return suite


def outcome(suite: Xml.Element, name: str) -> tuple[str, str | None, str | None]:
    [case] = [case for case in suite.findall("testcase") if case.attrib["name"] == name]
    kinds = [child for child in case if child.tag in ("failure", "error", "skipped")]
    return (kinds[0].tag, kinds[0].get("type"), kinds[0].get("message")) if kinds else ("passed", None, None)


def test_a_case_a_task_says_whose_fault_it_was() -> None:
    suite = read(MIXED)
    assert suite.attrib["name"] == "look@2"
    assert suite.attrib["time"] == "65.000"
    assert outcome(suite, "A1")[0] == "passed"
    assert outcome(suite, "A2") == ("failure", "app.not_visible", "step see: no element 'Log in' after 10 s")
    assert outcome(suite, "A3") == ("skipped", "cancelled", "enough")
    assert outcome(suite, "A4") == ("error", "device.offline", "device A4 went away")
    assert outcome(suite, "A5") == ("error", "expired", "it did not begin within 5 s")
    [case] = [case for case in suite.findall("testcase") if case.attrib["name"] == "A2"]
    assert case.attrib["time"] == "2.500"
    assert "artifacts/look/node-1/A2/R1/shot.png" in (case.findtext("system-out") or "")


def test_properties_are_those_of_the_run() -> None:
    found = {item.attrib["name"]: item.attrib["value"] for item in read(MIXED).iter("property")}
    assert (found["run"], found["workflow"], found["outcome"]) == ("R1", "look@2", "failed")
    assert (found["param.name"], found["param.seconds"]) == ("민지", "20")


def test_a_case_a_step_of_the_last_attempt_without_tries_that_were_repeated() -> None:
    suite = read(MIXED, by_step=True)
    names = [(case.attrib["classname"], case.attrib["name"]) for case in suite.findall("testcase")]
    assert names == [
        ("look.A1", "001 open"),
        ("look.A1", "002 see"),
        ("look.A2", "001 open - Open"),
        ("look.A2", "002 see"),
        ("look.A2", "003 extra"),
        ("look.A3", "task"),
        ("look.A4", "001 open"),
        ("look.A4", "task"),
        ("look.A5", "task"),
    ]


def test_an_optional_step_that_failed_fails_no_build() -> None:
    failure = Failure(error_class="app", code="not_visible", message="no banner")
    told = results(task("A1"), steps=(step("A1", "banner", "failed", optional=True, failure=failure),))
    assert outcome(read(told, by_step=True), "001 banner")[0] == "skipped"


def test_what_goes_on_is_skipped() -> None:
    assert outcome(read(results(task("A1", "running"), outcome=None)), "A1")[:2] == ("skipped", "running")


@given(
    st.text(max_size=40),
    st.sampled_from(ErrorClass),
    st.dictionaries(st.text(max_size=10), st.text(max_size=10) | st.integers(), max_size=3),
)
def test_no_text_breaks_it(text: str, error_class: ErrorClass, params: dict[str, object]) -> None:
    failure = Failure(error_class=error_class.value, code="x", message=text, step=text)
    failed = task("A1", "failed", failure=failure)
    told = results(failed, params=params, steps=(step("A1", text, "failed", failure=failure, label=text),))
    assert read(told).find("testcase") is not None
    read(told, by_step=True)
