"""Secrets stay names until a step is performed."""

from __future__ import annotations

from typing import Any

import pytest

from doai.workflow.model import parse_workflow, secret_names
from doai.workflow.secret_text import has_secret, reveal
from doai.workflow.templates import Reference, SecretName, SecretText, fill


def look_up(reference: Reference) -> Any:
    if reference.names[0] == "secret":
        return SecretText((SecretName(reference.names[1]),))
    return {"account": "ann", "list": ["a"], "evil": "${secret.pin}"}[reference.names[1]]


def test_a_text_with_secrets_is_filled_in_at_the_end() -> None:
    filled = fill(
        {
            "command": "login ${params.account} ${secret.pin}-${secret.pin}",
            "n": 3,
            "deep": [{"x": "${secret.key}"}],
        },
        look_up,
    )
    assert has_secret(filled)
    assert "1234" not in str(filled)
    assert reveal(filled, {"pin": "1234", "key": "k"}) == {
        "command": "login ann 1234-1234",
        "n": 3,
        "deep": [{"x": "k"}],
    }


def test_what_a_parameter_or_a_secret_brings_in_is_never_a_reference() -> None:
    filled = fill({"text": "${params.evil}"}, look_up)
    assert not has_secret(filled)
    assert reveal(filled, {"pin": "1234"}) == {"text": "${secret.pin}"}
    filled = fill({"text": "${secret.pin}"}, look_up)
    assert reveal(filled, {"pin": "${secret.key} ${params.account}"}) == {"text": "${secret.key} ${params.account}"}


def test_a_secret_that_is_not_given_is_named() -> None:
    with pytest.raises(KeyError, match="pin"):
        reveal(fill("${secret.pin}", look_up), {})


def test_the_secrets_of_a_recipe_are_those_of_all_its_steps() -> None:
    workflow = parse_workflow(
        """
workflow: login
steps:
  - {use: ui.text, with: {text: "${secret.pin}"}}
  - {use: device.shell, with: {command: "echo $${secret.none} ${device.serial}"}}
on_failure:
  - {use: device.shell, with: {command: "logout ${secret.account}"}}
always:
  - {use: ui.text, with: {text: "${secret.pin}"}}
"""
    )
    assert secret_names(workflow) == {"pin", "account"}
