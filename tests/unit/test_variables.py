"""DOAI_* variables: all are known by name, a misspelt one is told with the nearest."""

import pytest

from doai.admin.settings import Settings
from doai.bots.config import BotConfig
from doai.broker.config import BrokerConfig
from doai.configuration import load, variables_of
from doai.errors import ConfigError
from doai.node.config import NodeConfig
from doai.variables import OF_SETTINGS, PREFIX, check_variables


def test_the_list_is_that_of_the_programs() -> None:
    names = {name for program in (BrokerConfig, NodeConfig, BotConfig, Settings) for name in variables_of(program)}
    assert {name for name in names if name.startswith(PREFIX)} == OF_SETTINGS, "correct doai/variables.py"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("DOAI_DATA_DIRR", "did you mean DOAI_DATA_DIR?"),
        ("DOAI_STORE_WRITTER", "did you mean DOAI_STORE_WRITER?"),
        ("DOAI_ADB_PROT", "did you mean DOAI_ADB_PORT?"),
        ("DOAI_TOKN", "did you mean DOAI_TOKEN?"),
        ("DOAI_ZZZ", "unset it, or correct its name"),
    ],
)
def test_a_misspelt_variable_is_an_error_with_the_nearest_name(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="there is no variable") as caught:
        load(BrokerConfig, "broker", ["--data-dir", "x"], {name: "1"})
    assert f"{name}: {hint}" in str(caught.value)


def test_the_programs_own_names_are_nearer_than_those_of_others() -> None:
    with pytest.raises(ConfigError, match="did you mean DOAI_MY_PORT"):
        check_variables(["DOAI_NY_PORT"], ["DOAI_MY_PORT"])


def test_what_another_program_is_told_is_no_mistake() -> None:
    load(BrokerConfig, "broker", ["--data-dir", "x"], {"DOAI_ADB_PORT": "5037", "DOAI_URL": "x", "PATH": "/bin"})
