"""app.install, app.uninstall, app.clear, app.grant: on the simulated phone, and against what others print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from doai.drivers.base import CommandOutput
from doai.errors import ErrorClass
from doai.phone.faults import Fault, FaultOrder
from tests.apk.builder import make_apk
from tests.apk.keys import OTHER_KEY

Make = Callable[[dict[str, Any]], Any]
CAMERA = "android.permission.CAMERA"


def put(bench: Any, folder: Path, data: bytes, reference: str = "my-app@1.4") -> None:
    """Make a stored file of these bytes known to the step."""
    path = folder / reference
    path.write_bytes(data)
    bench.context.files[reference] = path


async def test_an_app_is_installed_and_what_the_device_has_is_told(phone: Any, tmp_path: Path) -> None:
    data = make_apk("com.example.app", version_code=3, version_name="1.4")
    put(phone, tmp_path, data)
    done = await phone.do("app.install", file="my-app@1.4", package="com.example.app")
    assert (done.package, done.version_code, done.version_name) == ("com.example.app", 3, "1.4")
    assert (done.previous_version_code, done.size_bytes) == (None, len(data))
    assert (await phone.do("app.install", file="my-app@1.4")).previous_version_code == 3
    assert (await phone.do("app.uninstall", package="com.example.app")).removed
    assert not (await phone.do("app.uninstall", package="com.example.app")).removed


async def test_options_reach_the_package_manager(phone: Any, tmp_path: Path) -> None:
    put(phone, tmp_path, make_apk("com.example.app", version_code=5, permissions=(CAMERA,), test_only=True))
    await phone.do("app.install", file="my-app@1.4", grant_permissions=True, test_only=True)
    assert phone.device.phone.packages.get("com.example.app").granted == {CAMERA}
    put(phone, tmp_path, make_apk("com.example.app", version_code=4))
    assert (await phone.do("app.install", file="my-app@1.4", downgrade=True)).version_code == 4


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"#!/bin/sh", "not_an_apk", "no zip"),
        (b"", "not_an_apk", "no zip"),
        (make_apk("com.example.app", key=None), "apk_not_signed", "apksigner"),
        (make_apk("com.example.app").replace(b"classes.dex", b"klasses.dex"), "apk_damaged", "signed"),
    ],
)
async def test_a_file_that_is_no_app_is_refused_before_the_device_is_touched(
    phone: Any, tmp_path: Path, data: bytes, code: str, words: str
) -> None:
    put(phone, tmp_path, data)
    error = await phone.fail("app.install", file="my-app@1.4")
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, code)
    assert words in str(error)
    assert "my-app@1.4" in str(error)
    assert phone.device.commands == []


async def test_another_app_than_the_recipe_means_is_refused(phone: Any, tmp_path: Path) -> None:
    put(phone, tmp_path, make_apk("com.example.other"))
    error = await phone.fail("app.install", file="my-app@1.4", package="com.example.app")
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, "other_package")
    assert phone.device.commands == []


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ({"version_code": 2}, {"version_code": 1}, "install_failed_version_downgrade"),
        ({}, {"key": OTHER_KEY}, "install_failed_update_incompatible"),
        ({}, {"min_sdk": 99}, "install_failed_older_sdk"),
        ({}, {"test_only": True}, "install_failed_test_only"),
    ],
)
async def test_what_the_device_refuses_has_its_name(
    phone: Any, tmp_path: Path, first: dict[str, Any], second: dict[str, Any], code: str
) -> None:
    put(phone, tmp_path, make_apk("com.example.app", **first))
    await phone.do("app.install", file="my-app@1.4")
    put(phone, tmp_path, make_apk("com.example.app", **second))
    error = await phone.fail("app.install", file="my-app@1.4")
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, code)


async def test_a_full_device_is_the_devices_fault(phone: Any, tmp_path: Path) -> None:
    put(phone, tmp_path, make_apk("com.example.app"))
    phone.device.phone.order(FaultOrder(Fault.STORAGE_FULL), 0.0)
    error = await phone.fail("app.install", file="my-app@1.4")
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "storage_full")


async def test_an_installation_that_is_undone_is_seen(scripted: Make, tmp_path: Path) -> None:
    bench = scripted({"pm install": "Success", "pm path": ""})
    put(bench, tmp_path, make_apk("com.example.app"))
    error = await bench.fail("app.install", file="my-app@1.4")
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "install_not_seen")


async def test_an_app_that_must_be_there_and_is_not(phone: Any) -> None:
    steps: dict[str, dict[str, Any]] = {
        "app.uninstall": {"missing_ok": False},
        "app.clear": {},
        "app.grant": {"permissions": [CAMERA]},
    }
    for use, arguments in steps.items():
        error = await phone.fail(use, package="com.not.here", **arguments)
        assert (error.failure.error_class, error.code) == (ErrorClass.APP, "app_not_installed"), use


async def test_permissions_are_given_read_back_taken_and_cleared(phone: Any) -> None:
    login = "com.example.login"
    both = [CAMERA, "android.permission.POST_NOTIFICATIONS"]
    assert (await phone.do("app.grant", package=login, permissions=both)).granted == both
    assert (await phone.do("app.grant", package=login, permissions=both[:1], revoke=True)).granted == both[1:]
    await phone.do("app.clear", package=login)
    assert phone.device.phone.packages.get(login).granted == frozenset()


@pytest.mark.parametrize(
    ("permission", "code"),
    [
        ("android.permission.READ_SMS", "permission_not_requested"),
        ("android.permission.INTERNET", "permission_not_changeable"),
        ("com.nobody.PERMISSION", "unknown_permission"),
    ],
)
async def test_a_permission_that_can_not_be_given(phone: Any, permission: str, code: str) -> None:
    error = await phone.fail("app.grant", package="com.example.login", permissions=[permission])
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, code)
    assert permission in str(error)


async def test_a_device_that_does_not_let_adb_give_permissions(scripted: Make) -> None:
    said = b"java.lang.SecurityException: Neither user 2000 nor current process has android.permission."
    bench = scripted({"pm grant": CommandOutput(b"", said + b"GRANT_RUNTIME_PERMISSIONS.", 255)})
    error = await bench.fail("app.grant", package="com.example.app", permissions=[CAMERA])
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "grant_not_allowed")


async def test_a_permission_that_is_not_there_afterwards(scripted: Make) -> None:
    bench = scripted({"pm path": "package:/x\n    versionCode=1 minSdk=23\n"})
    error = await bench.fail("app.grant", package="com.example.app", permissions=[CAMERA])
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "permission_not_seen")


async def test_a_device_that_does_not_clear(scripted: Make) -> None:
    bench = scripted({"pm clear": "Failed", "pm path": "package:/x\n    versionCode=1\n"})
    assert (await bench.fail("app.clear", package="com.example.app")).code == "clear_refused"
