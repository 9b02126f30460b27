"""Settings of a node that can not be: told before anything starts, by --check-config too."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from doai.errors import ConfigError
from doai.node.config import NodeConfig, check_config

GOOD = NodeConfig(name="n", data_dir="x", broker_public_key="k" * 40)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"drivers": ["adb", "adbb"]}, "drivers can not have 'adbb': did you mean 'adb'?"),
        ({"driver_settings": ["x"]}, "driver_settings can not be 'x': write DRIVER.NAME=VALUE"),
        ({"adb_path": "/nope"}, "adb_path = /nope is no program that can be run: correct the path"),
        ({"adb_connect": ["10.0.0.7"]}, "adb_connect can not have '10.0.0.7': write HOST:PORT of a device"),
        ({"adb_connect": ["10.0.0.7:5555", "h:99999"]}, "adb_connect can not have 'h:99999'"),
        (
            {"host_scripts": ["/nope"]},
            "host_scripts can not have /nope: there is no such folder; make or correct it",
        ),
        ({"plugin_dirs": ["/nope"]}, "plugin_dirs can not have /nope: there is no such folder"),
    ],
)
def test_what_can_not_be_is_one_sentence(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_config(msgspec.structs.replace(GOOD, **wrong))
    assert str(refused.value).startswith(sentence)


def test_what_is_there_is_taken(tmp_path: Path) -> None:
    folder = [str(tmp_path)]
    check_config(GOOD)
    check_config(
        msgspec.structs.replace(
            GOOD, host_scripts=folder, plugin_dirs=folder, adb_connect=["[fe80::1]:5555"], drivers=["adb", "fake"]
        )
    )
