"""What holds for every test: property tests are deterministic and untimed, Ctrl-C is heard, nothing is left."""

import signal

from hypothesis import settings

# A loaded machine is no failure, the same commit gives the same examples, and no .hypothesis folder is written.
settings.register_profile("doai", deadline=None, derandomize=True, database=None)
settings.load_profile("doai")

# A shell starts what it runs in the background with SIGINT ignored, and every program of a test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
