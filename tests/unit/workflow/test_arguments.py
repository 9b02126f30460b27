"""Arguments that are put together from references: lists, fields, and what does not fit there."""
# ruff: noqa: E501 - a step and its sentence are read side by side

import pytest

from doai.workflow.mistakes import MistakesError
from doai.workflow.model import parse_workflow

HEAD = """\
workflow: w
params: {n: {type: integer, default: 1}, s: {type: string, default: a}, l: {type: list, default: []}}
steps:
"""


def mistakes_of(step: str) -> list[str]:
    try:
        parse_workflow(f"{HEAD}  - {step}\n")
    except MistakesError as error:
        return error.details
    return []


@pytest.mark.parametrize(
    "step",
    [
        "{use: device.shell, with: {command: ls, exit_codes: [0, '${params.n}']}}",
        "{use: device.shell, with: {command: ls, exit_codes: '${params.l}'}}",
        "{use: report, with: {values: {deep: {list: ['${params.n}', 'x${params.s}'], s: '${params.s}'}}}}",
        "{use: ui.key, with: {key: '${params.n}'}}",
    ],
)
def test_references_inside_of_lists_and_fields_are_taken(step: str) -> None:
    assert mistakes_of(step) == []


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        ("{use: device.shell, with: {command: ls, exit_codes: [0, '${params.s}']}}", "with.exit_codes[1]: ${params.s} is"),
        ("{use: device.shell, with: {command: ls, exit_codes: [x, '${params.n}']}}", "exit_codes[0]: here must be an integer"),
        ("{use: device.shell, with: {command: ['${params.s}']}}", "with.command: here must be text; correct it"),
        ("{use: device.shell, with: {command: {a: '${params.s}'}}}", "with.command: here must be text; correct it"),
        ("{use: ui.text, with: {text: '${secret.a.b}'}}", "${secret.a.b} is no secret; write ${secret.name}"),
        ("{use: wait, with: {for: 90000h}}", "with.for: "),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence_at_its_place(step: str, sentence: str) -> None:
    (only,) = mistakes_of(step)
    assert sentence in only
