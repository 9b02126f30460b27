"""`doai doctor`: looks at everything doai needs, and says what to do about each (before all steps)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.doctor_host import check_adb, check_disk, check_ports, check_programs, check_usb
from doai.cli.doctor_site import SERVICE_DATA, check_installation, check_keys, check_settings
from doai.cli.finding import Finding, Verdict, fail, ok
from doai.cli.place import PLACE_FILE, default_data_dir, find_place, read_place
from doai.errors import ConfigError

SIGNS: Final = {Verdict.OK: "ok  ", Verdict.WARN: "WARN", Verdict.FAIL: "FAIL"}


def doctor(options: argparse.Namespace) -> int:
    """Check, print, and return 1 when something can not work."""
    findings = list(examine(options))
    if options.json:
        show.print_json([finding.as_json() for finding in findings])
    else:
        for finding in findings:
            print(f"{SIGNS[finding.verdict]}  {finding.check}: {finding.message}")
            if finding.advice:
                print(f"      {finding.advice}")
    return exits.NOT_PASSED if any(finding.verdict is Verdict.FAIL for finding in findings) else exits.PASSED


def examine(options: Any) -> Iterator[Finding]:
    """Yield what is found, the host first, then what runs on it and beyond."""
    folder = Path(options.data_dir) if options.data_dir else default_data_dir()
    yield from check_programs()
    yield from check_disk(SERVICE_DATA if SERVICE_DATA.is_dir() and not options.data_dir else folder)
    yield from check_ports(options.port, options.broker_port)
    yield from check_adb(options.adb_port, options.adb_path)
    yield from check_usb()
    yield from check_keys([folder, SERVICE_DATA])
    yield from check_settings()
    yield from _check_api(options, folder)


def _check_api(options: Any, folder: Path) -> Iterator[Finding]:
    try:
        place = find_place(options)
    except ConfigError as error:
        if options.url or options.token_file or (folder / PLACE_FILE).exists():
            yield fail("api", f"{error}.", "Correct the address and the token of the API.")
        else:
            yield ok("api", "No installation is known here: clock and versions were not compared (see --url).")
        return
    kept = read_place(folder)
    with Client(place) as client:
        for finding in check_installation(client):
            if finding.check == "api" and finding.verdict is Verdict.FAIL and kept and place.url == kept.url:
                # What `doai up` left is no promise that it runs now.
                yield ok("api", "`doai up` is not running here: clock and versions were not compared.")
                return
            yield finding
