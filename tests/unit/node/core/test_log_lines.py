"""Lines of the node's log about attempts carry the ids of the task and say how it ended."""

from doai.errors import ErrorClass, Failure
from doai.ids import Token
from doai.messages.events import StepFailed
from doai.messages.work import Dispatch
from doai.node.core import log_lines
from doai.node.core.acts import Finish
from doai.node.core.attempt import RELEASED, ended_by
from doai.node.core.effects import Level
from doai.states import Outcome

DISPATCH = Dispatch(
    task_id="T",
    run_id="R",
    token=Token(1, 7),
    attempt=2,
    device_serial="S",
    workflow="hello@3",
    recipe_hash="h",
    params={},
    trace_id="t",
    timeout_s=60,
)
FAILURE = Failure(error_class=ErrorClass.APP, code="not_found", message="There is no button.")


def test_every_line_names_the_task() -> None:
    line = log_lines.started(DISPATCH)
    assert line.fields == {"run_id": "R", "device_serial": "S", "task_id": "T", "trace_id": "t"}
    assert line.message == "Task started: hello@3 (attempt 2)"


def test_how_it_ended() -> None:
    passed = Finish(outcome=Outcome.PASSED, failure=None, outputs={}, released=False, repeatable=True)
    assert log_lines.ended(DISPATCH, passed, 1234).message == "Task passed after 1.2 s"
    failed = log_lines.ended(DISPATCH, ended_by(FAILURE), 500)
    assert failed.message == "Task failed after 0.5 s: There is no button."
    assert failed.level is Level.WARNING
    assert log_lines.ended(DISPATCH, RELEASED, 0).message == "Task given back"


def test_a_failed_try_says_whether_another_follows() -> None:
    step = StepFailed(
        task_id="T",
        run_id="R",
        token=Token(1, 7),
        device_serial="S",
        step_id="tap",
        try_number=1,
        duration_ms=10,
        failure=FAILURE,
        retried=True,
    )
    line = log_lines.step_failed(DISPATCH, step)
    assert line.message == "Step tap failed (not_found; tried again): There is no button."
