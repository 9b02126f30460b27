"""`bin/node`: the agent of one host (steps 6-11)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

import trio

from doai import log
from doai.cli import exits
from doai.cli.join import add_join_flags, join_main, wants_to_join
from doai.configuration import file_settings, load
from doai.errors import STORE_NEWER, DoaiError, StepError, StoreError, StoreUnavailable, UserError, leaves_of
from doai.node.app import run_node
from doai.node.config import NodeConfig, check_config


def main(argv: Sequence[str] | None = None) -> int:
    """Run a node until it is stopped, or join as one; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    environ: Mapping[str, str] = os.environ
    if wants_to_join(argv):
        code, config_path = join_main(argv)
        if config_path is None:
            return code
        argv = ["--config", str(config_path)]
        # What was just written counts, not a variable that means another installation, such as DOAI_DATA_DIR.
        written = {f"DOAI_{name.upper()}" for name in file_settings(NodeConfig, config_path)}
        environ = {name: value for name, value in environ.items() if name not in written}
    try:
        config, _ = load(
            NodeConfig,
            "node",
            argv,
            environ,
            description="Executes tasks on the Android devices of this host.",
            add_arguments=add_join_flags,
            check=check_config,
        )
    except UserError as error:
        return _fail(error, exits.CONFIG)
    log.set_up("node", level=config.log_level, form=config.log_form)
    failures: list[DoaiError] = []
    code = exits.INTERNAL
    try:
        stop = trio.run(run_node, config, strict_exception_groups=True)
        if stop.exit_code not in (exits.PASSED, exits.INTERRUPTED):
            print(f"node: {stop.reason}", file=sys.stderr)
        return stop.exit_code
    except* UserError as group:
        failures, code = leaves_of(group), exits.CONFIG
    except* (StoreError, StoreUnavailable) as group:
        failures, code = leaves_of(group), exits.IO_ERROR
        if failures[0].code == STORE_NEWER:
            code = exits.CONFIG
    except* StepError as group:
        failures, code = leaves_of(group), exits.UNAVAILABLE
    except* DoaiError as group:
        # After a failed commit whoever still decides something is refused: the commit is what counts.
        if not failures:
            failures, code = leaves_of(group), exits.INTERNAL
    return _fail(failures[0], code)


def _fail(error: DoaiError, code: int) -> int:
    print(f"node: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
