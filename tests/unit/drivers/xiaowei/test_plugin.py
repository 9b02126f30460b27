"""The driver as a node finds it: by its manifest, with settings as texts, and told when its library is missing."""

from __future__ import annotations

import sys

import pytest

from doai.drivers.fake.driver import FakeDriver
from doai.drivers.xiaowei.driver import XiaoweiDriver
from doai.errors import ConfigError
from doai.node.app import capabilities_of
from doai.plugins.discovery import find_plugins
from doai.plugins.drivers import load_driver


def test_a_node_finds_it_and_gives_it_its_settings() -> None:
    driver = load_driver(find_plugins(), "xiaowei", {"url": "ws://127.0.0.1:5", "connections": "7"})
    assert isinstance(driver, XiaoweiDriver)
    assert (driver.config.url, driver.config.connections) == ("ws://127.0.0.1:5", 7)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"port": "22222"}, "no setting 'port'"),
        ({"connections": "many"}, "connections"),
        ({"connections": "0"}, "connections"),
        ({"url": "127.0.0.1:22222"}, "write ws://127.0.0.1:22222"),
    ],
)
def test_a_wrong_setting_is_one_sentence(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_driver(find_plugins(), "xiaowei", settings)


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trio_websocket", None)
    for name in ("driver", "client", "commands", "device", "following"):
        monkeypatch.delitem(sys.modules, f"doai.drivers.xiaowei.{name}", raising=False)
    with pytest.raises(ConfigError, match=r"^the driver xiaowei needs trio_websocket.*install doai\[xiaowei\]$"):
        load_driver(find_plugins(), "xiaowei", {})


def test_a_node_advertises_what_its_drivers_can_do() -> None:
    vendors = load_driver(find_plugins(), "xiaowei", {})
    assert {"step:ui.tap", "driver:xiaowei"} <= set(capabilities_of([vendors]))
    assert "step:host.run" not in capabilities_of([vendors])
    assert "step:host.run" in capabilities_of([vendors, FakeDriver(count=1)])
