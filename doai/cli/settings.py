"""`doai settings`: how the installation is set, and as whom it is asked (before step 1)."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from doai.cli import exits, show
from doai.cli.client import Client


def add_settings(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    add(commands, "settings", "Tell how this installation is set, and who you are to it.", "settings", "settings")


def settings(client: Client, options: argparse.Namespace) -> int:
    """`doai settings`."""
    found = client.get("/settings")
    if options.json:
        show.print_json(found)
        return exits.PASSED
    show.print_table(("setting", "is"), _rows(found), empty="")
    print(client.url("/settings"))
    return exits.PASSED


def _rows(found: dict[str, Any]) -> Iterator[tuple[str, object]]:
    caller, clock, limits, kept = found["caller"], found["clock"], found["limits"], found["retention"]
    yield "you", f"{caller['name']}, {caller['role']}{' (token)' if caller['isToken'] else ''}"
    yield "version", f"{found['version']}, broker {found['brokerVersion'] or 'does not answer'}"
    yield "wire", _range(found["wireLowest"], found["wireHighest"])
    yield "schema of the store", found["schemaVersion"]
    yield "public url", found["publicUrl"] or "as it was asked"
    yield "certificate", found["fingerprint"]
    yield "broker", found["brokerEndpoint"]
    yield "time zone", f"{clock['zone']} (UTC{_offset(clock['utcOffsetMin'])})"
    yield "languages", found["languages"]
    yield "items a page", limits["pageItems"]
    yield "devices a run", limits["runTargets"]
    yield "devices described at once", limits["describedDevices"]
    yield "largest request", _size(limits["requestBytes"])
    yield "largest artifact", _size(limits["artifactBytes"])
    yield "largest file for phones", _size(limits["fileBytes"])
    yield "a session lasts", f"{limits['sessionS'] / 86400:g} days"
    yield "backups", _backups(found["backups"])
    yield "tasks are kept", _days(kept["tasksDays"])
    yield "artifacts are kept", _days(kept["artifactsDays"], without="as long as their run")
    yield "audit is kept", _days(kept["auditDays"])
    yield "log lines are kept", _days(found["logsDays"], without="not at all")
    yield "retention passes", f"every {kept['everyH']:g} h" if kept["everyH"] else "on demand"
    yield "notifications", _channels(found["notifications"])


def _range(lowest: int, highest: int) -> str:
    return f"{lowest}" if lowest == highest else f"{lowest} to {highest}"


def _offset(minutes: int) -> str:
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:g} MiB"


def _days(days: float, without: str = "for ever") -> str:
    return f"{days:g} days" if days else without


def _backups(plan: dict[str, Any]) -> str:
    kept = f"the newest {plan['keep']} stay"
    if plan["cron"]:
        return f"{plan['cron']} ({plan['zone']}), {kept}"
    return f"every {plan['everyH']:g} h, {kept}" if plan["everyH"] else f"on demand, {kept}"


def _channels(told: dict[str, Any]) -> str:
    if not told["isBotKnown"]:
        return "none: notify-bot was never there"
    return show.text(told["names"]) if told["names"] else "none: notify-bot has no channels"
