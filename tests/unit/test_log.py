"""Log lines carry the ids of what they are about, in both forms."""

import io
import json
import logging
import os
from pathlib import Path

import pytest

from doai.log import JsonFormatter, TerminalFormatter, set_up


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"name": "doai.node", "levelno": logging.INFO, "levelname": "INFO", "msg": message}
    )
    vars(made).update(extra)
    return made


def test_json_line() -> None:
    line = JsonFormatter("node").format(record("Task started", task_id="T", run_id="R", tries=2, trace_id=""))
    fields = json.loads(line)
    assert list(fields) == ["time", "level", "program", "logger", "message", "run_id", "task_id", "tries"]
    assert fields["message"] == "Task started"
    assert fields["time"].endswith("Z")


def test_a_name_that_is_no_text_costs_no_line() -> None:
    name = os.fsdecode(b"caf\xe9.png")
    fields = json.loads(JsonFormatter("node").format(record(f"{name} is left", file=Path(name), tries=2)))
    assert (fields["message"], fields["file"]) == (r"caf\udce9.png is left", r"caf\udce9.png")
    assert fields["tries"] == 2


def test_terminal_line() -> None:
    line = TerminalFormatter().format(record("Task started", device_serial="S", run_id="R", node_id="n1"))
    assert line[9:] == "[run_id=R node_id=n1 device_serial=S] Task started"


def test_an_exception_is_kept() -> None:
    try:
        raise ValueError("no good")
    except ValueError:
        made = record("Failed", exc_info=__import__("sys").exc_info())
    assert "ValueError: no good" in json.loads(JsonFormatter("x").format(made))["exception"]
    assert "ValueError: no good" in TerminalFormatter().format(made)


@pytest.fixture
def _root_logging() -> object:
    root, ours = logging.getLogger(), logging.getLogger("doai")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before[0], before[1], before[2]


@pytest.mark.usefixtures("_root_logging")
def test_other_libraries_speak_from_warning_up() -> None:
    stream = io.StringIO()
    set_up("node", stream=stream)
    logging.getLogger("httpx").info("quiet")
    logging.getLogger("doai.node").info("loud", extra={"run_id": "R"})
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["loud"]


@pytest.mark.usefixtures("_root_logging")
def test_in_the_journal_a_line_begins_with_its_severity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "journal").open("w") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        set_up("node", stream=stream)
        for level in ("error", "warning", "info"):
            getattr(logging.getLogger("doai.node"), level)("said")
    lines = (tmp_path / "journal").read_text().splitlines()
    assert [line[:3] for line in lines] == ["<3>", "<4>", "<6>"]
    assert {json.loads(line[3:])["message"] for line in lines} == {"said"}
