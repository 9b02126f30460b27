"""Which files a run needs is found by annotation, wherever the argument has it."""

from __future__ import annotations

from typing import Any

import pytest

from doai.workflow.files import FileNeed, file_needs
from doai.workflow.mistakes import ParameterError, WorkflowError
from doai.workflow.model import parse_workflow
from doai.workflow.step_type import Arguments, BaselineReference, FileReference, NoOutputs, StepType, Text


class Push(Arguments, frozen=True, kw_only=True):
    file: FileReference
    to: Text = "/sdcard"
    also: FileReference | None = None
    many: list[FileReference] = []
    named: dict[str, FileReference] = {}


class Compare(Arguments, frozen=True, kw_only=True):
    baseline: BaselineReference = "masks/common"


STEPS = {
    "push": StepType(name="push", arguments=Push, outputs=NoOutputs, on_device=True, idempotent=True),
    "compare": StepType(
        name="compare",
        arguments=Compare,
        outputs=NoOutputs,
        on_device=True,
        idempotent=True,
        files=("baseline/{workflow}/{step}/*",),
    ),
}


def needs(steps: str, **params: Any) -> list[str]:
    source = f"workflow: check\nparams: {{app: {{type: string, nullable: true}}}}\nsteps:\n{steps}"
    return [need.reference for need in file_needs(parse_workflow(source, STEPS), {"app": None} | params, STEPS)]


def test_every_argument_that_is_a_file_is_found_once() -> None:
    step = "  - {use: push, with: {file: a@1, also: b, many: [c, d/e@2, a@1], named: {x: f}, to: /sdcard/zzz}}\n"
    assert needs(step + step) == ["a@1", "b", "c", "d/e@2", "f"]


def test_parameters_choose_files_and_the_device_leaves_them_open() -> None:
    assert needs('  - {use: push, with: {file: "${params.app}@2"}}\n', app="my-app") == ["my-app@2"]
    assert needs('  - {use: push, with: {file: a, also: "${params.app}"}}\n') == ["a"]
    assert needs('  - {use: push, with: {file: "apps/${device.model}"}}\n') == ["apps/*"]


def test_a_step_type_may_need_files_that_no_argument_names() -> None:
    assert needs("  - {id: home, use: compare}\n") == ["baseline/check/home/*", "masks/common"]


def test_a_baseline_may_be_missing_unless_another_step_needs_it() -> None:
    compare = "  - {use: compare, with: {baseline: %s}}\n"
    source = "workflow: check\nsteps:\n" + compare % "a" + compare % "b" + "  - {use: push, with: {file: b}}\n"
    found = file_needs(parse_workflow(source, STEPS), {}, STEPS)
    assert {need.reference: need.may_be_missing for need in found if not need.is_pattern} == {"a": True, "b": False}


def test_a_pattern_stays_within_its_part() -> None:
    need = FileNeed("baseline/check/*", ())
    assert need.is_pattern
    assert need.fits("baseline/check/Pixel-7-1080x2400")
    assert not need.fits("baseline/check/home/x")
    assert not need.fits("baseline/check/")
    assert not FileNeed("a.b", ()).fits("axb")


def test_parameters_that_name_no_file_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"steps\[0\].with.also: '../x' can not name a file"):
        needs('  - {use: push, with: {file: a, also: "${params.app}"}}\n', app="../x")


@pytest.mark.parametrize("reference", ["${steps.one.model}", "${secret.name}"])
def test_what_is_known_only_later_can_not_choose_a_file(reference: str) -> None:
    source = f'workflow: check\nsteps:\n  - {{id: two, use: push, with: {{file: "{reference}"}}}}\n'
    with pytest.raises(WorkflowError) as caught:
        parse_workflow(source, STEPS)
    if "secret" in reference:
        assert "is not known when the run is made" in str(caught.value)


def test_a_file_that_is_written_wrong_is_a_mistake_of_the_recipe() -> None:
    with pytest.raises(WorkflowError, match=r"write name or name@version, such as my-app@1\.4"):
        parse_workflow("workflow: check\nsteps:\n  - {use: push, with: {file: '../etc/passwd'}}\n", STEPS)
