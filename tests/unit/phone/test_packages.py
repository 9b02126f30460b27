"""Packages: install, its failures by name, uninstall, permissions."""

from collections.abc import Callable

import pytest

from doai.apk.signature import java_hash
from doai.phone.device import Device
from doai.phone.faults import Fault, FaultOrder
from doai.phone.shell import Finished
from tests.apk.builder import make_apk
from tests.apk.keys import KEY, OTHER_KEY

Sh = Callable[..., Finished]


def install(sh: Sh, apk: bytes, *flags: str) -> Finished:
    return sh(f"pm install {' '.join(flags)} -S {len(apk)}", stdin=apk)


def test_install_replace_downgrade_uninstall(sh: Sh) -> None:
    assert install(sh, make_apk("com.a", version_code=2)).stdout == b"Success\n"
    assert b"versionCode=2" in sh("dumpsys package com.a").stdout
    assert b"INSTALL_FAILED_VERSION_DOWNGRADE" in install(sh, make_apk("com.a")).stdout
    assert install(sh, make_apk("com.a"), "-d").exit_code == 0
    assert b"INSTALL_FAILED_ALREADY_EXISTS" in install(sh, make_apk("com.a"), "-R").stdout
    assert sh("pm list packages -3 com.a").stdout == b"package:com.a\n"
    assert sh("monkey -p com.a -c android.intent.category.LAUNCHER 1").exit_code == 0
    assert sh("pm uninstall com.a").stdout == b"Success\n"
    assert sh("pm path com.a").exit_code == 1
    assert sh("pm uninstall com.a").stdout.startswith(b"Failure")
    assert sh("pm uninstall com.android.chrome").stdout.startswith(b"Failure")


@pytest.mark.parametrize("reason", ["INSTALL_FAILED_INSUFFICIENT_STORAGE", "INSTALL_FAILED_UPDATE_INCOMPATIBLE"])
def test_install_failures_by_name(sh: Sh, device: Device, reason: str) -> None:
    device.order(FaultOrder(Fault.INSTALL_FAILS, text=reason), 0.0)
    found = install(sh, make_apk("com.a"))
    assert (found.stdout, found.exit_code) == (f"Failure [{reason}]\n".encode(), 1)
    assert install(sh, make_apk("com.a")).exit_code == 0


def test_storage_full_refuses_an_install(sh: Sh, device: Device) -> None:
    device.order(FaultOrder(Fault.STORAGE_FULL), 0.0)
    assert b"INSTALL_FAILED_INSUFFICIENT_STORAGE" in install(sh, make_apk("com.a")).stdout
    assert b" 100% /data" in sh("df").stdout
    assert sh("screencap -p /sdcard/a.png").exit_code == 1


def test_install_from_a_file_and_by_session(sh: Sh, device: Device) -> None:
    device.files.write("/data/local/tmp/a.apk", make_apk("com.a"), 0)
    assert sh("pm install -r -t /data/local/tmp/a.apk").stdout == b"Success\n"
    assert sh("pm install /data/local/tmp/none.apk").exit_code == 1
    apk = make_apk("com.b")
    number = sh("pm install-create -S 1").stdout.decode().split("[")[1].split("]")[0]
    assert sh(f"cmd package install-write -S {len(apk)} {number} base.apk -", stdin=apk).exit_code == 0
    assert sh(f"pm install-commit {number}").stdout == b"Success\n"
    assert sh(f"pm install-commit {number}").exit_code == 1


def test_grant_and_clear(sh: Sh) -> None:
    assert sh("pm grant com.example.login android.permission.CAMERA").exit_code == 0
    assert b"android.permission.CAMERA: granted=true" in sh("dumpsys package com.example.login").stdout
    assert sh("pm clear com.example.login").stdout == b"Success\n"
    assert b"android.permission.CAMERA: granted=false" in sh("dumpsys package com.example.login").stdout
    assert sh("pm clear com.none").stdout == b"Failed\n"


@pytest.mark.parametrize(
    ("package", "permission", "said"),
    [
        ("com.none", "android.permission.CAMERA", b"Unknown package: com.none"),
        ("com.example.login", "android.permission.READ_SMS", b"has not requested permission"),
        ("com.example.login", "android.permission.INTERNET", b"not a changeable permission type"),
        ("com.example.login", "com.nobody.PERMISSION", b"Unknown permission: com.nobody.PERMISSION"),
    ],
)
def test_a_permission_that_can_not_be_given(sh: Sh, package: str, permission: str, said: bytes) -> None:
    found = sh(f"pm grant {package} {permission}")
    assert found.exit_code == 255
    assert said in found.stderr


@pytest.mark.parametrize(
    ("apk", "reason"),
    [
        (b"", "INSTALL_PARSE_FAILED_NOT_APK"),
        (b"PK\x03\x04 broken", "INSTALL_PARSE_FAILED_NOT_APK"),
        (b"no apk at all", "INSTALL_PARSE_FAILED_NOT_APK"),
        (make_apk("com.a", key=None), "INSTALL_PARSE_FAILED_NO_CERTIFICATES"),
        (make_apk("com.a", min_sdk=35), "INSTALL_FAILED_OLDER_SDK"),
        (make_apk("com.a", test_only=True), "INSTALL_FAILED_TEST_ONLY"),
    ],
)
def test_what_can_not_be_installed_is_refused_by_name(sh: Sh, apk: bytes, reason: str) -> None:
    assert reason.encode() in install(sh, apk).stdout


def test_an_update_needs_the_same_key_and_keeps_permissions(sh: Sh) -> None:
    camera = ("android.permission.CAMERA",)
    assert install(sh, make_apk("com.a", permissions=camera), "-g").exit_code == 0
    assert install(sh, make_apk("com.a", version_code=2, permissions=camera)).exit_code == 0
    assert b"android.permission.CAMERA: granted=true" in sh("dumpsys package com.a").stdout
    assert b"INSTALL_FAILED_UPDATE_INCOMPATIBLE" in install(sh, make_apk("com.a", key=OTHER_KEY)).stdout


def test_an_app_shows_what_its_manifest_says(sh: Sh, device: Device) -> None:
    install(sh, make_apk("com.a", label="장보기", activity=".shop.Start"))
    assert ("com.a", "장보기") in device.packages.icons()
    sh("monkey -p com.a -c android.intent.category.LAUNCHER 1")
    assert device.component(100.0) == "com.a/com.a.shop.Start"
    install(sh, make_apk("com.b", activity=""))
    assert sh("monkey -p com.b -c android.intent.category.LAUNCHER 1").exit_code == 252


def test_native_code_of_another_processor_and_the_signer_as_android_writes_it(sh: Sh) -> None:
    refused = install(sh, make_apk("com.a", abis=("x86_64",)))
    assert b"INSTALL_FAILED_NO_MATCHING_ABIS" in refused.stdout
    assert install(sh, make_apk("com.a", abis=("x86", "armeabi-v7a"))).exit_code == 0
    said = sh("dumpsys package com.a").stdout.decode()
    assert f"signatures:[{java_hash(KEY.certificate)}], past signatures:[]" in said
