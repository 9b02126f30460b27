"""The device: apps, touches, keys, boot, and what its commands say of them."""

from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from doai.phone import apps
from doai.phone.device import BOOT_COMPLETES_AFTER_S, Device
from doai.phone.faults import Fault, FaultOrder
from doai.phone.shell import Finished
from doai.phone.widgets import Widget, walk

Sh = Callable[..., Finished]
WATCH = "am start -a android.intent.action.VIEW -d 'https://www.youtube.com/watch?v=abcdefghijk'"


def find(device: Device, resource_id: str) -> Widget:
    return next(widget for widget in walk(device.screen(100.0).root) if widget.resource_id.endswith(resource_id))


def tap(sh: Sh, widget: Widget) -> None:
    box = widget.bounds
    sh(f"input tap {(box.left + box.right) // 2} {(box.top + box.bottom) // 2}")


def log_in(sh: Sh, device: Device, password: str) -> None:
    sh("am start -n com.example.login/.LoginActivity")
    tap(sh, find(device, "id/username"))
    sh("input text demo")
    tap(sh, find(device, "id/password"))
    sh(f"input text {password}")
    sh("input keyevent BACK")
    tap(sh, find(device, "id/login"))


def test_right_credentials_open_the_welcome_screen(sh: Sh, device: Device) -> None:
    log_in(sh, device, "secret")
    assert "Welcome, demo" in device.state(100.0).texts
    assert b"com.example.login/com.example.login.WelcomeActivity" in sh("dumpsys window").stdout


def test_a_wrong_password_stays_on_the_login_screen(sh: Sh, device: Device) -> None:
    log_in(sh, device, "guess")
    state = device.state(100.0)
    assert (state.activity, "Wrong username or password" in state.texts) == (
        "com.example.login.LoginActivity",
        True,
    )
    assert find(device, "id/password").text == ""


def test_a_tap_beside_a_button_does_nothing(sh: Sh, device: Device) -> None:
    sh("am start -n com.example.login/.LoginActivity")
    before = device.state(100.0)
    sh("input tap 5 700")
    assert device.state(100.0) == before


def test_text_without_focus_is_lost(sh: Sh, device: Device) -> None:
    sh("am start -n com.example.login/.LoginActivity; input text demo")
    assert find(device, "id/username").text == ""


def test_the_keyboard_covers_what_is_below(sh: Sh, device: Device) -> None:
    sh("am start -n com.example.login/.LoginActivity")
    tap(sh, find(device, "id/username"))
    assert device.window.tap(100, 790, 100.0) == "keyboard"
    sh("input keyevent 4")
    assert not device.state(100.0).keyboard_shown
    assert device.state(100.0).package == apps.LOGIN
    sh("input keyevent 4")
    assert device.state(100.0).package == apps.LAUNCHER


def test_a_password_is_never_shown(sh: Sh, device: Device) -> None:
    sh("am start -n com.example.login/.LoginActivity")
    tap(sh, find(device, "id/password"))
    sh("input text hunter2")
    assert b"hunter2" not in sh("uiautomator dump /dev/tty").stdout
    assert "\u2022" * 7 in device.state(100.0).texts


def test_an_icon_opens_its_app(sh: Sh, device: Device) -> None:
    icon = next(widget for widget in walk(device.screen(1.0).root) if widget.text == "Chrome")
    tap(sh, icon)
    assert device.state(100.0).package == apps.CHROME


def test_dump_is_the_screen(sh: Sh, device: Device) -> None:
    sh("am start -n com.example.login/.LoginActivity")
    text = sh("uiautomator dump; cat /sdcard/window_dump.xml").stdout.decode().partition("\n")[2]
    nodes = list(ElementTree.fromstring(text).iter("node"))
    widgets = list(walk(device.screen(100.0).root))
    assert [(node.get("bounds"), node.get("resource-id"), node.get("text")) for node in nodes] == [
        (str(widget.bounds), widget.resource_id, widget.shown_text) for widget in widgets
    ]


def test_a_video_plays_and_stops_with_its_app(sh: Sh, device: Device) -> None:
    assert sh(WATCH, now_s=100.0).exit_code == 0
    assert b"state=BUFFERING(6)" in sh("dumpsys media_session", now_s=100.2).stdout
    assert b"state=PLAYING(3), position=9350" in sh("dumpsys media_session", now_s=110.0).stdout
    sh("am force-stop com.google.android.youtube", now_s=111.0)
    assert b"have 0 sessions" in sh("dumpsys media_session", now_s=112.0).stdout


def test_a_stall_ordered_before_or_while_playing(sh: Sh, device: Device) -> None:
    device.order(FaultOrder(Fault.MEDIA_STALLS), 99.0)
    sh(WATCH, now_s=100.0)
    playback = device.playback(200.0)
    assert playback is not None
    assert (playback.state.name, playback.position_ms, playback.stalls) == ("BUFFERING", 0, 1)
    device.clear(Fault.MEDIA_STALLS, 200.0)
    playing = device.playback(203.0)
    assert playing is not None
    assert playing.position_ms == 3000


def test_screen_off(sh: Sh, device: Device) -> None:
    device.order(FaultOrder(Fault.SCREEN_OFF), 1.0)
    assert b"mWakefulness=Asleep" in sh("dumpsys power").stdout
    assert b"mScreenState=OFF" in sh("dumpsys display").stdout
    assert b"ERROR: null root node" in sh("uiautomator dump").stderr
    icon = next(widget for widget in walk(device.screen(1.0).root) if widget.action)
    tap(sh, icon)
    assert device.state(100.0).package == apps.LAUNCHER
    sh("input keyevent KEYCODE_WAKEUP")
    assert b"mWakefulness=Awake" in sh("dumpsys power").stdout


def test_boot_ends_what_ran_and_keeps_what_is_stored(sh: Sh, device: Device) -> None:
    sh("echo kept > /sdcard/a; setprop persist.x 1; setprop debug.x 1; settings put global a b; " + WATCH)
    device.boot(500.0)
    assert sh("getprop sys.boot_completed", now_s=500.0).stdout == b"\n"
    assert sh("getprop sys.boot_completed", now_s=500.0 + BOOT_COMPLETES_AFTER_S).stdout == b"1\n"
    assert sh("cat /sdcard/a; getprop persist.x; settings get global a").stdout == b"kept\n1\nb\n"
    assert sh("getprop debug.x").stdout == b"\n"
    assert device.playback(501.0) is None


def test_battery_drains(device: Device) -> None:
    assert device.power.level_percent(0.0) > device.power.level_percent(3600.0) > 70
    assert device.power.level_percent(10**7) == 0.0


def test_heat_can_be_ordered_as_android_lets_one(sh: Sh) -> None:
    sh("dumpsys battery set temp 461; cmd thermalservice override-status 4")
    assert b"temperature: 461" in sh("dumpsys battery").stdout
    assert b"Thermal Status: 4" in sh("dumpsys thermalservice").stdout
    sh("dumpsys battery reset; cmd thermalservice reset")
    assert b"temperature: 300" in sh("dumpsys battery").stdout
    assert b"Thermal Status: 0" in sh("dumpsys thermalservice").stdout
    assert sh("cmd thermalservice melt").exit_code == 255


def test_same_serial(sh: Sh, device: Device) -> None:
    device.order(FaultOrder(Fault.SAME_SERIAL, text="SIM0009"), 0.0)
    assert sh("getprop ro.serialno").stdout == b"SIM0009\n"
    device.clear(Fault.SAME_SERIAL, 0.0)
    assert sh("getprop ro.serialno").stdout == b"SIM0001\n"


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("https://youtu.be/abcdefghijk", apps.YOUTUBE),
        ("https://m.youtube.com/shorts/abcdefghijk", apps.YOUTUBE),
        ("vnd.youtube:abcdefghijk", apps.YOUTUBE),
        ("https://example.org/", apps.CHROME),
    ],
)
def test_links_find_their_app(sh: Sh, device: Device, url: str, package: str) -> None:
    assert sh(f"am start -a android.intent.action.VIEW -d {url}").exit_code == 0
    assert device.state(100.0).package == package
    assert (device.playback(100.0) is not None) == (package == apps.YOUTUBE)


def test_nothing_opens_an_unknown_link_or_activity(sh: Sh) -> None:
    assert b"unable to resolve Intent" in sh("am start -a android.intent.action.VIEW -d foo:bar").stderr
    found = sh("am start -n com.none/.Main")
    assert (found.exit_code, b"does not exist" in found.stdout) == (1, True)
    assert sh("monkey -p com.none 1").exit_code == 252


def test_every_report_says_something(sh: Sh) -> None:
    for name in sh("dumpsys -l").stdout.decode().split("\n")[1:-1]:
        assert sh(f"dumpsys {name.strip()}").stdout, name
    assert b"Can't find service: none" in sh("dumpsys none").stderr
