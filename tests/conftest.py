"""What holds for every test: property tests are deterministic and untimed, Ctrl-C is heard, nothing is left."""

import inspect
import logging
import signal
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import settings

# A loaded machine is no failure, the same commit gives the same examples, and no .hypothesis folder is written.
settings.register_profile("doai", deadline=None, derandomize=True, database=None)
settings.load_profile("doai")

# A loaded machine is no failure: who asks over HTTP and names no time waits for more than the 5 s of the library.
_unsaid: httpx.Timeout = inspect.signature(httpx.get).parameters["timeout"].default
_unsaid.connect = _unsaid.read = _unsaid.write = _unsaid.pool = 90.0

# A shell starts what it runs in the background with SIGINT ignored, and every program of a test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A program that a test runs in this process sets up logging for itself; the next test hears all again."""
    root, doai = logging.getLogger(), logging.getLogger("doai")
    before = (root.level, doai.level, list(root.handlers))
    yield
    root.setLevel(before[0])
    doai.setLevel(before[1])
    root.handlers[:] = before[2]
