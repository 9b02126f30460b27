"""Steps are called as their recipe calls them in the reader's language."""

from __future__ import annotations

import msgspec

from doai.admin.step_labels import labelled
from doai.admin.views import StepJson
from doai.workflow.language import Step, Translations, Workflow

TRY = StepJson(
    task_id="t",
    device_serial="SIM0001",
    attempt=1,
    token="1.1",
    step_id="open",
    use="app.open_url",
    label="Open the video",
    try_number=1,
    state="passed",
    retried=False,
    optional=False,
    started_at_ms=None,
    ended_at_ms=None,
    duration_ms=None,
    failure=None,
    outputs={},
)
RECIPE = Workflow(
    name="check",
    steps=[
        Step(id="open", use="app.open_url", label=Translations(en="Open the video", ko="영상 열기")),
        Step(id="rounds", use="flow.repeat", steps=[Step(id="look", use="screen.capture", label="Look")]),
        Step(id="close", use="app.stop"),
    ],
)


def test_a_label_is_in_the_language_of_the_reader() -> None:
    told = {"open": "Open the video", "look": "Look", "close": "app.stop", "gone": "Old"}
    tries = [msgspec.structs.replace(TRY, step_id=name, label=label) for name, label in told.items()]
    assert [each.label for each in labelled(tries, RECIPE, "ko")] == ["영상 열기", "Look", "app.stop", "Old"]
    assert [each.label for each in labelled(tries, RECIPE, "en")] == ["Open the video", "Look", "app.stop", "Old"]
