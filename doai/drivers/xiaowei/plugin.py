"""What `plugin.yaml` names: the driver made of a node's settings, also where its library is missing (step 9)."""

from __future__ import annotations

from doai.drivers.base import Driver
from doai.drivers.xiaowei.config import XiaoweiConfig
from doai.errors import ConfigError

Settings = XiaoweiConfig


def make_driver(settings: XiaoweiConfig) -> Driver:
    """Return the driver; raises ConfigError, also when the library for its connection is not installed."""
    try:
        from doai.drivers.xiaowei.driver import XiaoweiDriver
    except ModuleNotFoundError as error:
        if error.name not in {"trio_websocket", "wsproto", "h11"}:
            raise
        raise ConfigError(
            f"the driver xiaowei needs {error.name}, which is not installed: install doai[xiaowei]"
        ) from None
    return XiaoweiDriver(settings)
