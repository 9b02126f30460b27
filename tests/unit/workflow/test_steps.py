"""The table of built-in steps."""

import msgspec
import pytest

from doai.workflow.names import output_kinds
from doai.workflow.steps import BUILT_IN, Launch, OpenUrl, Tap


def test_the_steps_of_the_language_are_there() -> None:
    assert set(BUILT_IN) == {
        *("device.bootstrap", "device.identify", "device.shell", "app.launch", "app.stop", "app.open_url"),
        *("ui.tap", "ui.text", "ui.key", "ui.wait_for", "ui.assert_visible"),
        *("device.health", "device.reboot", "device.set", "file.push", "file.pull", "log.collect"),
        *("ui.long_press", "ui.swipe", "ui.scroll_to", "ui.assert_absent", "ui.dump"),
        *("app.install", "app.inspect", "app.uninstall", "app.clear", "app.grant", "app.instrument"),
        *(
            "screen.capture",
            "screen.compare",
            "media.wait_playing",
            "media.measure",
            "artifact.upload",
            "wait",
            "report",
        ),
        *("host.run", "http.request", "flow.repeat", "flow.until", "workflow.call"),
    }
    assert all(name == step.name for name, step in BUILT_IN.items())


def test_arguments_with_defaults_can_be_made() -> None:
    for step in BUILT_IN.values():
        needed = [field.name for field in msgspec.structs.fields(step.arguments) if field.required]
        if not needed:
            step.arguments()


@pytest.mark.parametrize("package", ["com.example.app\n", "com", "com.a;rm -rf /", "com.a b"])
def test_a_package_is_a_package_and_nothing_else(package: str) -> None:
    assert msgspec.convert({"package": "com.example.app"}, Launch).package == "com.example.app"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"package": package}, Launch)


@pytest.mark.parametrize("url", ["no scheme", "https://a b", "https://a\n", "HTTPS://a"])
def test_an_address_has_a_scheme_and_no_blanks(url: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"url": url}, OpenUrl)


def test_a_position_is_pixels_or_a_share() -> None:
    assert msgspec.convert({"x": 5, "y": "50%"}, Tap).y == "50%"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"x": "50"}, Tap)


def test_every_output_has_a_kind() -> None:
    assert output_kinds(BUILT_IN["screen.capture"])["width"] == {"integer"}
    assert all(kinds for step in BUILT_IN.values() for kinds in output_kinds(step).values())
