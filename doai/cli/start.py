"""Starts a command of `bin/`: Ctrl-C ends it without a word while it still loads (before all steps).

Used as ``python -m doai.cli.start NAME ARGUMENTS``; NAME is a module beside this one.
"""

from __future__ import annotations

import importlib
import signal
import sys


def main(argv: list[str]) -> int:
    """Run the module's `main`; returns its exit code."""
    # Python's own handler would print where in the imports it was.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    module = importlib.import_module(f"doai.cli.{argv[0]}")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code: int = module.main(argv[1:])
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
