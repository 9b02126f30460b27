"""What `--on` and `--param` mean, and the sentence when they mean nothing."""

from typing import Any

import pytest

from doai.cli.targets import parse_params, parse_targets
from doai.errors import UserError
from doai.messages.commands import Selector, TargetKind, Targets

DECLARED: dict[str, Any] = {
    "text": {"type": "string"},
    "count": {"type": "integer"},
    "share": {"type": "number"},
    "loud": {"type": "boolean"},
    "names": {"type": "list"},
    "account": {"type": "string", "nullable": True},
}


@pytest.mark.parametrize(
    ("words", "targets"),
    [
        ([], Targets(kind=TargetKind.ALL)),
        (["all"], Targets(kind=TargetKind.ALL)),
        (["A,B", "A"], Targets(kind=TargetKind.DEVICES, serials=["A", "B"])),
        (["127.0.0.1:5555"], Targets(kind=TargetKind.DEVICES, serials=["127.0.0.1:5555"])),
        (["any:3"], Targets(kind=TargetKind.ANY, count=3)),
        (
            ["tag:lab", "tag:big", "model:Pixel 8", "sdk:>=28", "sdk:<34", "node:n1"],
            Targets(
                kind=TargetKind.ALL,
                selector=Selector(tags=["lab", "big"], models=["Pixel 8"], nodes=["n1"], sdk=">=28,<34"),
            ),
        ),
    ],
)
def test_targets(words: list[str], targets: Targets) -> None:
    assert parse_targets(words) == targets


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["any:x"], "any:x needs a number of devices"),
        (["any:0"], "any:0 needs a number of devices"),
        (["tag:"], "names nothing after the colon"),
        (["A", "tag:lab"], "serials or conditions, not both"),
        (["../x"], "is no serial"),
        ([""], "names no device; use all"),
        ([" , "], "names no device"),
        (["tag:lab", ""], "names no device"),
    ],
)
def test_targets_that_mean_nothing(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_targets(words)


def test_params_take_the_declared_types() -> None:
    words = ["text=1=2", "count=7", "share=0.5", "loud=yes", "names=a, b", "account=null", "other=3"]
    assert parse_params(words, DECLARED) == {
        "text": "1=2",
        "count": 7,
        "share": 0.5,
        "loud": True,
        "names": ["a", "b"],
        "account": None,
        "other": "3",
    }
    assert parse_params(['names=["a,b"]'], DECLARED) == {"names": ["a,b"]}


@pytest.mark.parametrize("word", ["count=many", "share=x", "loud=maybe", 'names=["a"', "novalue", "=x"])
def test_params_that_mean_nothing(word: str) -> None:
    with pytest.raises(UserError, match="--param"):
        parse_params([word], DECLARED)


def test_a_param_given_twice_is_a_mistake() -> None:
    with pytest.raises(UserError, match="given twice"):
        parse_params(["text=a", "text=b"], DECLARED)


def test_all_is_not_mixed_with_names_or_numbers() -> None:
    for words in (["all", "S1"], ["any:2", "all"]):
        with pytest.raises(UserError, match="--on all is every device"):
            parse_targets(words)
