"""Failures of drivers: class, code, and a sentence that names the device."""

from __future__ import annotations

import pytest

from doai.drivers import failures
from doai.drivers.base import CommandOutput
from doai.errors import ErrorClass, LocalProtocolError, StepError


@pytest.mark.parametrize(
    ("output", "code", "error_class"),
    [
        (
            "Failure [INSTALL_FAILED_VERSION_DOWNGRADE: Downgrade detected]",
            "install_failed_version_downgrade",
            ErrorClass.USER,
        ),
        (
            "adb: failed to install\nFailure [INSTALL_FAILED_INSUFFICIENT_STORAGE]",
            "install_failed_insufficient_storage",
            ErrorClass.DEVICE,
        ),
        ("Failure [INSTALL_PARSE_FAILED_NOT_APK]", "install_parse_failed_not_apk", ErrorClass.USER),
        ("java.io.IOException: Requested internal only, but not enough space", "install_failed", ErrorClass.DEVICE),
        ("", "install_failed", ErrorClass.APP),
    ],
)
def test_the_package_managers_words_become_a_code(output: str, code: str, error_class: ErrorClass) -> None:
    failure = failures.package_refused("S1", "install app.apk", output).failure
    assert (failure.code, failure.error_class) == (code, error_class)
    assert "S1" in failure.message


def test_success_must_be_said() -> None:
    failures.check_package("S1", "install a.apk", CommandOutput(b"Success\n", b"", 0))
    for output in (CommandOutput(b"", b"", 0), CommandOutput(b"Success\n", b"", 1)):
        with pytest.raises(StepError):
            failures.check_package("S1", "uninstall a.b", output)


@pytest.mark.parametrize(
    ("verb", "reason", "code"),
    [
        ("push", "couldn't create file: No space left on device", "storage_full"),
        ("push", "couldn't create file: Read-only file system", "push_failed"),
        ("pull", "open failed: No such file or directory", "no_such_file"),
        ("pull", "read failed: Is a directory", "pull_failed"),
    ],
)
def test_the_file_services_words_become_a_code(verb: str, reason: str, code: str) -> None:
    assert failures.file_refused("S1", verb, "/sdcard/x", reason).failure.code == code


def test_a_tag_is_an_assignment_and_nothing_else() -> None:
    assert failures.tagged("T/1.2/step-a_b/1", "id") == "DOAI_STEP=T/1.2/step-a_b/1;id"
    assert failures.tagged("", "id") == "id"
    for bad in ("a b", "a;b", "$(id)", "a'b", "a\nb"):
        with pytest.raises(LocalProtocolError):
            failures.tagged(bad, "id")


def test_a_package_name_is_checked() -> None:
    assert failures.package_name("com.example.app") == "com.example.app"
    for bad in ("", "a b", "a;reboot", "-k", "a..b"):
        with pytest.raises(StepError):
            failures.package_name(bad)
