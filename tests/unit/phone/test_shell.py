"""The shell interpreter: connectors, variables, redirections, pipes, exit codes."""

from collections.abc import Callable

import pytest

from doai.phone.device import Device
from doai.phone.shell import Finished

Sh = Callable[..., Finished]


@pytest.mark.parametrize(
    ("line", "stdout", "code"),
    [
        ("echo a; echo b", b"a\nb\n", 0),
        ("true && echo yes", b"yes\n", 0),
        ("false && echo no", b"", 1),
        ("false || echo other", b"other\n", 0),
        ("false; echo $?", b"1\n", 0),
        ("X=5; echo \"$X\" '$X' ${X}y", b"5 $X 5y\n", 0),
        ("echo 'a  b' a  b", b"a  b a b\n", 0),
        ("echo one | grep -c one", b"1\n", 0),
        ("echo one | grep two", b"", 1),
        ("cat /nope 2>/dev/null; echo $?", b"1\n", 0),
        ("cat /nope 2>&1 | grep -c such", b"1\n", 0),
        ("echo hid > /sdcard/a; echo more >> /sdcard/a; cat < /sdcard/a", b"hid\nmore\n", 0),
        ("exit 4; echo no", b"", 4),
        ("echo a # comment", b"a\n", 0),
        ("", b"", 0),
        ("DOAI_STEP=t/1/s/1; echo tagged", b"tagged\n", 0),
        ("ls /sdcard/Do*", b"", 0),
        ("/system/bin/echo full", b"full\n", 0),
        ("X=1; sh -c 'echo in$X; exit 3'; echo $?", b"in\n3\n", 0),
        ("sh -c 'cat; echo err >&2' </dev/null 2>/sdcard/e; cat /sdcard/e", b"err\n", 0),
        ("echo abc >/sdcard/a; base64 /sdcard/a; echo abc | base64", b"YWJjCg==\nYWJjCg==\n", 0),
        (
            "echo abc >/sdcard/a; mv -f /sdcard/a /sdcard/b; cat /sdcard/b; ls /sdcard/a || echo gone",
            b"abc\ngone\n",
            0,
        ),
        ("mv /sdcard/none /sdcard/b", b"", 1),
        ("touch /sdcard/a; chmod 600 /sdcard/a; ls -l /sdcard/a | grep -c rw-------", b"1\n", 0),
        ("chmod 600 /sdcard/none", b"", 1),
    ],
)
def test_lines(sh: Sh, line: str, stdout: bytes, code: int) -> None:
    found = sh(line)
    assert (found.stdout, found.exit_code) == (stdout, code)


def test_unknown_command(sh: Sh) -> None:
    found = sh("frobnicate -x")
    assert found == Finished(b"", b"/system/bin/sh: frobnicate: inaccessible or not found\n", 127)


def test_syntax_error(sh: Sh) -> None:
    found = sh("echo 'open")
    assert (found.exit_code, found.stdout) == (1, b"")
    assert b"no closing quote" in found.stderr


def test_input_reaches_the_command(sh: Sh) -> None:
    assert sh("cat | head -n 1", stdin=b"one\ntwo\n").stdout == b"one\n"


def test_sleep_moves_the_clock_of_the_command_after_it(sh: Sh) -> None:
    assert sh("sleep 2.5; cat /proc/uptime", now_s=100.0).stdout.startswith(b"102.50 ")


def test_reboot_never_answers(sh: Sh, device: Device) -> None:
    assert sh("reboot; echo never").stdout == b""
    assert device.boots == 2
