"""Steps are called as their recipe calls them in the reader's language."""

from __future__ import annotations

import msgspec

from doai.admin.examples import STEP
from doai.admin.step_labels import labelled
from doai.workflow.language import Step, Translations, Workflow

LOOK = Step(id="look", use="screen.capture", label=Translations(en="Look", ko="보기"))
ROUND = Step(id="until", use="flow.until", steps=[LOOK])
RECIPE = Workflow(
    name="check",
    steps=[
        Step(id="open", use="app.open_url", label=Translations(en="Open the video", ko="영상 열기")),
        Step(id="rounds", use="flow.repeat", steps=[ROUND]),
        Step(id="close", use="app.stop"),
    ],
)


def test_a_label_is_in_the_language_of_the_reader() -> None:
    told = {"open": "Open the video", "look": "Look", "close": "app.stop", "gone": "Old"}
    tries = [msgspec.structs.replace(STEP, step_id=name, label=label) for name, label in told.items()]
    assert [each.label for each in labelled(tries, RECIPE, "ko")] == ["영상 열기", "보기", "app.stop", "Old"]
    assert [each.label for each in labelled(tries, RECIPE, "en")] == ["Open the video", "Look", "app.stop", "Old"]
