"""Results of tests as JUnit XML, which test tools and CI systems read (step 8)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Final

from doai.node.steps.instrument_report import Report

_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MESSAGE_CHARACTERS_MAX: Final = 500
_CHILD: Final = {"failed": "failure", "crashed": "error", "skipped": "skipped"}


def junit_xml(package: str, device_serial: str, report: Report, duration_ms: int) -> bytes:
    """Return one suite with a case for every test; the runner tells no times of single tests."""
    outcomes = [test.outcome for test in report.tests]
    suite = ET.Element(
        "testsuite",
        name=package,
        hostname=_text(device_serial),
        tests=str(len(outcomes)),
        failures=str(outcomes.count("failed")),
        errors=str(outcomes.count("crashed")),
        skipped=str(outcomes.count("skipped")),
        time=f"{duration_ms / 1000:.3f}",
    )
    for test in report.tests:
        class_name, _, name = test.name.partition("#")
        case = ET.SubElement(suite, "testcase", classname=_text(class_name), name=_text(name))
        if test.outcome != "passed":
            message = _text(test.message.partition("\n")[0])[:_MESSAGE_CHARACTERS_MAX]
            child = ET.SubElement(case, _CHILD[test.outcome], message=message)
            child.text = _text(test.message)
    ET.indent(suite)
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True)) + b"\n"


def _text(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
