"""`bin/node --join TOKEN`: makes this host a node of the installation that gave the token (before step 6)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from doai.cli import exits
from doai.cli.place import default_data_dir
from doai.configuration import file_settings, given_settings, make_parser
from doai.enrolment_token import EnrolmentToken, read_token
from doai.errors import ConfigError, UserError
from doai.node.config import NodeConfig
from doai.node.join import JoinRefused, JoinUnavailable, Plan, join

_TOLD: Final = frozenset({"name", "endpoint", "broker_public_key", "admin_fingerprint"})
"""Settings that the token and the admin tell: those of the configuration before are not kept."""


def add_join_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of joining to those of a node's settings."""
    group = parser.add_argument_group("joining", "Other settings that are given with it are written too.")
    group.add_argument("--join", metavar="TOKEN", help="join with this token, write the configuration; - reads it")
    group.add_argument(
        "--force", action="store_true", help="replace the configuration there is, but for its tags etc."
    )
    group.add_argument("--start", action="store_true", help="then run the node")


def wants_to_join(argv: Sequence[str]) -> bool:
    """Whether the command line has --join."""
    return any(word == "--join" or word.startswith("--join=") for word in argv)


def join_main(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> tuple[int, Path | None]:
    """Join; return the exit code, and the configuration to run now if that was asked for."""
    parser = make_parser(NodeConfig, "node", description="Joins as a node, with a token of `doai nodes enroll`.")
    add_join_flags(parser)
    options = parser.parse_args(argv)
    try:
        text = sys.stdin.readline() if options.join == "-" else options.join
        plan = _plan(options, read_token(text), environ)
        joined = join(plan)
    except JoinRefused as error:
        return _fail(error, exits.NO_PERMISSION)
    except JoinUnavailable as error:
        return _fail(error, exits.UNAVAILABLE)
    except UserError as error:
        return _fail(error, exits.CONFIG)
    except OSError as error:
        print(f"node: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return exits.IO_ERROR, None
    print(f"{joined.name} has joined. Its configuration, with its secret, is {plan.config_path}; its key is in")
    print(f"{plan.data_dir / 'keys'}; the broker is at {joined.endpoint}.")
    if joined.adb_home:
        print(
            f"adb uses the key that all nodes share ({joined.adb_home}): a phone that trusts one host trusts this."
        )
    if joined.rotation:
        print("Start the node again to use its new key: from then on the one before is refused.")
    if options.start:
        sys.stdout.flush()
        return exits.PASSED, plan.config_path
    print(f"Start it: bin/node --config {plan.config_path}")
    return exits.PASSED, None


def _plan(options: argparse.Namespace, token: EnrolmentToken, environ: Mapping[str, str]) -> Plan:
    given = given_settings(NodeConfig, options)
    named = options.config or environ.get("DOAI_CONFIG")
    folder = given.pop("data_dir", None) or environ.get("DOAI_DATA_DIR")
    path = Path(named).expanduser() if named else None
    kept: dict[str, Any] = {}
    if path is not None and options.force and path.exists():
        kept = file_settings(NodeConfig, path)
    data_dir = Path(
        folder or kept.get("data_dir") or default_data_dir({**environ, "DOAI_DATA_DIR": ""}) / token.name
    )
    data_dir = data_dir.expanduser().absolute()
    if path is None:
        path = data_dir / "node.toml"
        if options.force and path.exists():
            kept = file_settings(NodeConfig, path)
    secret = given.pop("secret", None)
    if secret is not None:
        raise ConfigError("a node that joins makes its secret itself: leave --secret-file away")
    kept.pop("secret", None)
    kept = {name: value for name, value in kept.items() if name not in _TOLD}
    return Plan(
        token=token,
        config_path=path.absolute(),
        data_dir=data_dir,
        settings=given,
        kept=kept,
        force=options.force,
    )


def _fail(error: Exception, code: int) -> tuple[int, None]:
    print(f"node: {error}", file=sys.stderr)
    return code, None
