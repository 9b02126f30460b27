"""`bin/broker`: the store, the scheduler, and where all peers connect (steps 1-5, 12, 13)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import trio

from doai import log
from doai.broker.app import run_broker
from doai.broker.config import BrokerConfig, check_config
from doai.cli import exits
from doai.configuration import load
from doai.errors import STORE_NEWER, ConfigError, DoaiError, StoreError, StoreUnavailable, leaves_of
from doai.wire.base import EndpointError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a broker until it is stopped; returns the exit code."""
    try:
        config, _ = load(
            BrokerConfig,
            "broker",
            sys.argv[1:] if argv is None else argv,
            os.environ,
            description="Keeps the store, schedules tasks, and is where nodes, bots and admin connect.",
            check=check_config,
        )
    except ConfigError as error:
        return _fail([error], exits.CONFIG)
    log.set_up("broker", level=config.log_level, form=config.log_form)
    failures: list[DoaiError] = []
    code = exits.INTERNAL
    try:
        trio.run(run_broker, config, strict_exception_groups=True)
    except* ConfigError as group:
        failures, code = leaves_of(group), exits.CONFIG
    except* (EndpointError, StoreUnavailable) as group:
        failures, code = leaves_of(group), exits.UNAVAILABLE
        if failures[0].code == STORE_NEWER:
            code = exits.CONFIG
    except* StoreError as group:
        failures, code = leaves_of(group), exits.IO_ERROR
    except* DoaiError as group:
        # After a failed commit whoever still decides something is refused: the commit is what counts.
        if not failures:
            failures, code = leaves_of(group), exits.INTERNAL
    return _fail(failures, code) if failures else exits.PASSED


def _fail(errors: list[DoaiError], code: int) -> int:
    print(f"broker: {errors[0]}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
