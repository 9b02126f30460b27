"""Drivers of plug-ins: found by name, made with their settings; whatever is wrong is one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from doai.errors import ConfigError
from doai.plugins.discovery import Found, find_plugins
from doai.plugins.drivers import driver_names, load_driver, split_settings
from doai.plugins.manifest import FILE

MODULE = """\
import msgspec
from doai.drivers.fake.driver import FakeDriver

class Settings(msgspec.Struct, frozen=True):
    port: int = 1
    prefix: str = "A"

def make_driver(settings):
    driver = FakeDriver(serials=[f"{settings.prefix}{settings.port}"])
    driver.name = "bridge"
    return driver
"""


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Found:
    monkeypatch.setattr(sys, "path", list(sys.path))
    return plugin(tmp_path, MODULE, f"bridge_{abs(hash(str(tmp_path)))}")


def plugin(folder: Path, source: str, module: str) -> Found:
    (folder / FILE).write_text(f'name: acme\nversion: "1"\ndrivers: [{{name: bridge, module: {module}}}]\n')
    (folder / f"{module}.py").write_text(source)
    return find_plugins([folder], shipped=folder / "nothing")


def test_a_driver_is_made_with_its_settings(found: Found) -> None:
    settings = split_settings(["bridge.port=7", "bridge.prefix=P=Q", "other.x=1"])
    driver = load_driver(found, "bridge", settings["bridge"])
    assert driver.name == "bridge"
    assert driver.device("P=Q7").serial == "P=Q7"
    assert driver_names(found) == ["bridge"]


def test_an_unknown_driver_or_setting_is_named_with_the_nearest(found: Found) -> None:
    with pytest.raises(ConfigError, match="did you mean 'bridge'"):
        load_driver(found, "brigde", {})
    with pytest.raises(ConfigError, match="did you mean 'port'"):
        load_driver(found, "bridge", {"prot": "1"})
    with pytest.raises(ConfigError, match="of bridge: Expected `int`"):
        load_driver(found, "bridge", {"port": "many"})
    with pytest.raises(ConfigError, match=r"write DRIVER\.NAME=VALUE"):
        split_settings(["port=1"])


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import no_such_module_at_all", "can not be imported: ModuleNotFoundError"),
        ("x = 1", "needs make_driver"),
        ("def make_driver(settings): raise ValueError('no')", "can not be made: ValueError: no"),
        (MODULE.replace('"bridge"', '"brdige"'), "calls itself brdige"),
    ],
)
def test_a_module_that_is_no_driver_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, sentence: str
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"bridge_for_test_{abs(hash(source))}"
    with pytest.raises(ConfigError, match=sentence):
        load_driver(plugin(tmp_path, source, name), "bridge", {})


def test_a_module_that_is_another_ones_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ConfigError, match="rename it"):
        load_driver(plugin(tmp_path, MODULE, "string"), "bridge", {})
