"""Scripts strike by serial and pattern, newest first, as often as ordered."""

from __future__ import annotations

import pytest

from doai.drivers.fake.scripts import FAILURES, Script, Scripts, scripted_failure
from doai.errors import LocalProtocolError


def test_the_newest_script_that_matches_strikes_as_often_as_ordered() -> None:
    scripts = Scripts()
    always = Script(pattern="^getprop", delay_s=1.0)
    twice = Script(pattern="serialno", serial="A", hang=True, times=2)
    scripts.add(always)
    scripts.add(twice)
    assert scripts.take("A", "getprop ro.serialno") is twice
    assert scripts.take("B", "getprop ro.serialno") is always
    assert scripts.take("A", "getprop ro.serialno") is twice
    assert scripts.take("A", "getprop ro.serialno") is always
    assert scripts.take("A", "id") is None
    assert scripts.struck == 4
    scripts.clear()
    assert scripts.take("A", "getprop") is None


@pytest.mark.parametrize("name", [*FAILURES, "INSTALL_FAILED_OLDER_SDK", "DELETE_FAILED_INTERNAL_ERROR"])
def test_failures_by_name_are_those_of_the_adb_driver(name: str) -> None:
    scripts = Scripts()
    scripts.add(Script(fail=name))
    failure = scripted_failure(Script(fail=name), "S1", "install x.apk").failure
    assert failure.code == name.lower()
    assert "S1" in failure.message


def test_an_unknown_failure_is_our_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="device_offline"):
        Scripts().add(Script(fail="no_such_failure"))
