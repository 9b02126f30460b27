"""Which function performs which built-in step (step 8)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from doai.node.steps import (
    app,
    artifact,
    compare,
    device,
    file,
    flow,
    gestures,
    health,
    host,
    http,
    identify,
    inspect,
    instrument,
    keyboard,
    measure,
    media,
    package,
    reboot,
    screen,
    settings,
    ui,
)
from doai.node.steps.base import StepFunction

ADB_PORT: Final = 5037
"""Where an adb server listens unless told otherwise."""

STEPS: Final[Mapping[str, StepFunction]] = MappingProxyType(
    {
        "device.bootstrap": device.bootstrap,
        "device.identify": identify.identify,
        "device.shell": device.shell,
        "device.health": health.health,
        "device.reboot": reboot.reboot,
        "device.set": settings.put_settings,
        "file.push": file.push,
        "file.pull": file.pull,
        "log.collect": file.collect_log,
        "app.launch": app.launch,
        "app.stop": app.stop,
        "app.open_url": app.open_url,
        "app.install": package.install,
        "app.inspect": inspect.inspect,
        "app.uninstall": package.uninstall,
        "app.clear": package.clear,
        "app.grant": package.grant,
        "app.instrument": instrument.instrument,
        "ui.tap": ui.tap,
        "ui.text": keyboard.type_text,
        "ui.key": keyboard.press_key,
        "ui.wait_for": ui.wait_for,
        "ui.assert_visible": ui.assert_visible,
        "ui.assert_absent": ui.assert_absent,
        "ui.dump": ui.dump,
        "ui.long_press": gestures.long_press,
        "ui.swipe": gestures.swipe,
        "ui.scroll_to": gestures.scroll_to,
        "screen.capture": screen.capture,
        "screen.compare": compare.Comparisons().compare,
        "media.wait_playing": media.wait_playing,
        "media.measure": measure.measure,
        "artifact.upload": artifact.upload,
        "host.run": host.HostScripts([], ADB_PORT).run,  # the node's program puts its own in this place
        "http.request": http.request,
        "wait": flow.wait,
        "report": flow.report,
    }
)
"""By the names of doai.workflow.steps.BUILT_IN; each takes the Arguments and returns the Outputs named there."""
