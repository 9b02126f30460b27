"""Runs one script and leaves nothing of it behind, whatever it forks: a process of its own per script (step 8).

    python -I script_guard.py STATUS_FD INPUT_FD GRACE_S PROGRAM [ARGUMENT ...]

The guard is the subreaper (prctl(2)) of all below it, so that what detaches itself is still its descendant. It
waits for the script, or for the end of its standard input, which the node holds open: when the node dies or gives
up, the script's session gets SIGTERM, and after GRACE_S seconds all that is left gets SIGKILL. What is left when
the script has ended gets SIGKILL, too. Then one line of JSON goes to STATUS_FD:
``{"exit_code": 3, "stopped": ["sleep"]}``, or ``{"error": "..."}`` when the script could not be started.
``exit_code`` is minus the signal that ended it; ``stopped`` names the processes that were ended: those that had
outlived the script, or all of it.

Only the standard library is imported, so that it starts in some 30 ms.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36
"""linux/prctl.h"""
KILL_WITHIN_S: Final = 5.0
"""A process that SIGKILL does not end within this waits for a device in the kernel: it ends when that answers."""
_LOOK_S: Final = 0.02
NAMES_MAX: Final = 50
"""Of processes that are told; a script that forks without end has more."""


def main(arguments: list[str]) -> int:
    """Run the script; see the module."""
    status_fd, input_fd, grace_s, command = int(arguments[0]), int(arguments[1]), float(arguments[2]), arguments[3:]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)  # not SIG_IGN, which the script would inherit
    try:
        script = subprocess.Popen(command, stdin=input_fd, start_new_session=True)
    except (OSError, ValueError) as error:
        _tell(status_fd, {"error": str(getattr(error, "strerror", None) or error)})
        return 1
    os.close(input_fd)
    _wait(script, ended)
    stopped: dict[int, str] = {}
    if script.returncode is None:
        stopped = names_of(descendants(os.getpid()))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(script.pid, signal.SIGTERM)
        until = time.monotonic() + grace_s
        while script.poll() is None and time.monotonic() < until:
            time.sleep(_LOOK_S)
    stopped |= _kill_all(script)
    _tell(status_fd, {"exit_code": script.returncode, "stopped": sorted(stopped.values())[:NAMES_MAX]})
    return 0


def _wait(script: subprocess.Popen[bytes], ended: int) -> None:
    """Wait until the script has ended or nobody wants it any more."""
    while script.poll() is None:
        ready, _, _ = select.select([sys.stdin.fileno(), ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
        if sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 4096):
            return


def _kill_all(script: subprocess.Popen[bytes]) -> dict[int, str]:
    """End every descendant and take its exit status; return the names of those that had outlived the script."""
    outlived: dict[int, str] = {}
    until = time.monotonic() + KILL_WITHIN_S
    while time.monotonic() < until:
        alive = descendants(os.getpid())
        if script.poll() is not None:
            outlived |= names_of(alive - outlived.keys() - {script.pid})
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if script.poll() is not None and _reap():
            break
        time.sleep(_LOOK_S / 10)
    return outlived


def _reap() -> bool:
    """Take the exit statuses of what was handed to this process; return whether nothing is left."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return False
    return True


def descendants(root: int) -> set[int]:
    """Return the processes below one, but for those that have ended and wait for their parent (zombies)."""
    children: dict[int, list[int]] = {}
    dead: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            stat = (entry / "stat").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        # pid (name) state ppid ...: the name may have blanks and brackets (proc_pid_stat(5)).
        state, parent = stat.rpartition(b")")[2].split()[:2]
        pid = int(entry.name)
        children.setdefault(int(parent), []).append(pid)
        if state in (b"Z", b"X"):
            dead.add(pid)
    found: set[int] = set()
    pending = [root]
    while pending:
        for pid in children.get(pending.pop(), ()):
            found.add(pid)
            pending.append(pid)
    return found - dead


def names_of(pids: set[int]) -> dict[int, str]:
    """Return what the kernel calls processes (proc_pid_comm(5), 15 characters), as far as they are still there."""
    names = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            names[pid] = (Path("/proc") / str(pid) / "comm").read_bytes().decode("utf-8", "replace").strip()
    return names


def _tell(status_fd: int, status: dict[str, object]) -> None:
    with contextlib.suppress(OSError):  # nobody listens when the node has died
        os.write(status_fd, json.dumps(status).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
