"""Packages: install, its failures by name, uninstall, permissions."""

from collections.abc import Callable

import pytest

from doai.phone.device import Device
from doai.phone.faults import Fault, FaultOrder
from doai.phone.packages import InstallError, make_apk, read_apk
from doai.phone.shell import Finished

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
    assert sh("pm grant com.none x").exit_code == 255
    assert sh("pm clear com.example.login").stdout == b"Success\n"
    assert sh("pm clear com.none").stdout == b"Failed\n"


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 broken", b"no apk at all"])
def test_what_is_no_apk_is_refused(data: bytes) -> None:
    with pytest.raises(InstallError, match="INSTALL_PARSE_FAILED_NOT_APK"):
        read_apk(data)
