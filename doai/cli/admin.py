"""`bin/admin`: the HTTP API beside a broker (steps 1, 10 and 14)."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from doai import log
from doai.admin.settings import Settings, checked
from doai.cli import exits
from doai.configuration import load
from doai.errors import DoaiError, UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Run an admin until it is stopped; returns the exit code."""
    try:
        settings, _ = load(
            Settings,
            "admin",
            sys.argv[1:] if argv is None else argv,
            os.environ,
            description="Serves the HTTP API: reads the broker's store, changes things by commands to the broker.",
            check=checked,
        )
    except UserError as error:
        return _fail(error, exits.CONFIG)
    log.set_up("admin", level=settings.log_level, form=settings.log_form)
    # After the settings: the framework takes over a second to load, and --help must not wait for it.
    from doai.admin.mesh import FencedError
    from doai.admin.server import PortError, listen, print_line, serve

    try:
        asyncio.run(serve(settings, listen(settings.host, settings.port), print_line))
    except PortError as error:
        return _fail(error, exits.UNAVAILABLE)
    except FencedError as error:
        return _fail(error, exits.FENCED)
    except UserError as error:
        return _fail(error, exits.CONFIG)
    except DoaiError as error:
        return _fail(error, exits.INTERNAL)
    return exits.PASSED


def _fail(error: DoaiError, code: int) -> int:
    print(f"admin: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
