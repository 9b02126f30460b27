"""app.launch, app.stop, app.open_url against what Android 9 to 14 print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from trio.testing import MockClock

from doai.drivers.base import CommandOutput
from doai.errors import ErrorClass
from doai.node.steps.app import FRONT_WITHIN_S

RESOLVED = (
    "priority=0 preferredOrder=0 match=0x108000\ncom.example.app/.Main\n--doai-section--\npackage:/data/app/x.apk"
)
FRONT = (
    "  mCurrentFocus=Window{5b1c0de u0 com.example.app/com.example.app.Main}\n"
    "  mFocusedApp=ActivityRecord{8a3e2f1 u0 com.example.app/.Main t12}"
)
HOME = "  mCurrentFocus=Window{1 u0 com.android.launcher3/com.android.launcher3.Launcher}"
Make = Callable[[dict[str, Any]], Any]


async def test_launch_starts_the_resolved_activity_and_waits_for_it(
    scripted: Make, autojump_clock: MockClock
) -> None:
    fronts = [HOME, "  mCurrentFocus=null", FRONT]
    bench = scripted({"resolve-activity": RESOLVED, "dumpsys window": lambda _: fronts.pop(0)})
    done = await bench.do("app.launch", package="com.example.app")
    assert (done.package, done.activity) == ("com.example.app", "com.example.app.Main")
    assert 500 <= done.launched_ms < 1000
    assert "-n com.example.app/.Main" in bench.device.commands[1]


@pytest.mark.parametrize(
    "resolved",
    [
        "android/com.android.internal.app.ResolverActivity",
        "No activity found",
        "Unknown command: resolve-activity",
        "",
    ],
)
async def test_without_a_single_launcher_activity_monkey_starts_it(scripted: Make, resolved: str) -> None:
    bench = scripted(
        {
            "resolve-activity": f"{resolved}\n--doai-section--\npackage:/x",
            "dumpsys window": FRONT,
            "monkey": "Events injected: 1",
        }
    )
    await bench.do("app.launch", package="com.example.app")
    assert bench.device.commands[1] == "monkey -p com.example.app -c android.intent.category.LAUNCHER 1"


@pytest.mark.parametrize(
    ("activity", "component"), [(".Main", "com.example.app/.Main"), ("com.other/.Main", "com.other/.Main")]
)
async def test_a_named_activity_is_started_as_it_is(scripted: Make, activity: str, component: str) -> None:
    bench = scripted({"dumpsys window": FRONT})
    await bench.do("app.launch", package="com.example.app", activity=activity)
    assert bench.device.commands[0] == f"am start -n {component}"


async def test_an_app_that_is_not_installed_is_said(scripted: Make) -> None:
    error = await scripted({"resolve-activity": "No activity found\n--doai-section--\n"}).fail(
        "app.launch", package="com.example.app"
    )
    assert (error.failure.error_class, error.code) == (ErrorClass.APP, "app_not_installed")


@pytest.mark.parametrize(
    ("said", "error_class", "code"),
    [
        ("Error type 3\nError: Activity class {a/.B} does not exist.", ErrorClass.USER, "activity_not_found"),
        ("java.lang.SecurityException: Permission Denial: not exported", ErrorClass.USER, "activity_not_allowed"),
        ("Error: Activity not started, unable to resolve Intent { act=x }", ErrorClass.APP, "no_handler"),
        ("** No activities found to run, monkey aborted.", ErrorClass.APP, "no_launcher_activity"),
        ("Error: Activity not started, you requested to switch", ErrorClass.APP, "start_failed"),
    ],
)
async def test_what_am_complains_of_is_an_error_although_it_exits_with_0(
    scripted: Make, said: str, error_class: ErrorClass, code: str
) -> None:
    for output in (CommandOutput(said.encode(), b"", 0), CommandOutput(b"Starting: Intent {}", said.encode(), 0)):
        error = await scripted({"am start": output}).fail("app.launch", package="com.example.app", activity=".B")
        assert (error.failure.error_class, error.code) == (error_class, code)


async def test_an_app_that_stays_behind_names_what_is_in_front(scripted: Make, autojump_clock: MockClock) -> None:
    bench = scripted({"resolve-activity": RESOLVED, "dumpsys window": HOME})
    error = await bench.fail("app.launch", package="com.example.app")
    assert error.code == "app_not_in_front"
    assert "com.android.launcher3" in str(error)
    assert autojump_clock.current_time() <= FRONT_WITHIN_S + 1


@pytest.mark.parametrize(
    ("window", "code"),
    [
        ("Application Error: com.example.app", "app_crashed"),
        ("Application Not Responding: com.example.app", "app_not_responding"),
    ],
)
async def test_a_crash_dialog_ends_the_wait(scripted: Make, window: str, code: str) -> None:
    bench = scripted({"resolve-activity": RESOLVED, "dumpsys window": f"  mCurrentFocus=Window{{1 u0 {window}}}"})
    assert (await bench.fail("app.launch", package="com.example.app")).code == code


async def test_a_permission_dialog_stands_for_the_app_that_asks(scripted: Make) -> None:
    component = "com.google.android.permissioncontroller/com.android.permissioncontroller.Grant"
    bench = scripted({"resolve-activity": RESOLVED, "dumpsys window": f"mCurrentFocus=Window{{1 u0 {component}}}"})
    assert (await bench.do("app.launch", package="com.example.app")).activity.endswith("Grant")


async def test_an_address_is_quoted_for_the_devices_shell(scripted: Make) -> None:
    bench = scripted({"dumpsys window": FRONT})
    await bench.do("app.open_url", url="https://x/?a=1&b=$(reboot)'", package="com.example.app")
    quoted = "'https://x/?a=1&b=$(reboot)'\"'\"''"
    assert bench.device.commands[0] == (f"am start -a android.intent.action.VIEW -d {quoted} -p com.example.app")


async def test_the_app_that_took_the_address_is_told(scripted: Make) -> None:
    bench = scripted(
        {"am start -W": "Status: ok\nActivity: com.example.app/.Main\nComplete", "dumpsys window": FRONT}
    )
    assert (await bench.do("app.open_url", url="https://x/")).package == "com.example.app"


async def test_a_choice_between_apps_is_the_recipes_to_make(scripted: Make) -> None:
    bench = scripted({"am start -W": "Status: ok\nActivity: android/com.android.internal.app.ResolverActivity"})
    error = await bench.fail("app.open_url", url="https://x/")
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, "ambiguous_handler")


async def test_stop(scripted: Make) -> None:
    bench = scripted({})
    await bench.do("app.stop", package="com.example.app")
    assert bench.device.commands == ["am force-stop com.example.app"]
    error = await scripted({"am": CommandOutput(b"", b"Bad user", 255)}).fail("app.stop", package="com.example.app")
    assert error.code == "stop_failed"


async def test_steps_on_the_simulated_phone(phone: Any, autojump_clock: MockClock) -> None:
    error = await phone.fail("app.launch", package="com.not.here")
    assert error.code == "app_not_installed"
    error = await phone.fail("app.launch", package="com.not.here", activity=".Main")
    assert error.code == "activity_not_found"
    error = await phone.fail("app.open_url", url="nobody:knows")
    assert error.code == "no_handler"
    await phone.do("app.stop", package="com.not.here")
