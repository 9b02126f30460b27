"""`bin/bot`: one process of a bot (step 14)."""

from __future__ import annotations

import sys

from doai.bots.program import main

if __name__ == "__main__":
    sys.exit(main())
