"""Incidents: what an operator must know of, when it is one, how grave it is and what to do; one table (step 14)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import msgspec

from doai import limits
from doai.key_enum import KeyEnum


class Severity(enum.Enum):
    """How much it hurts, the least first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class IncidentType(KeyEnum):
    """What is wrong."""

    QUEUE_BACKLOG = "QUEUE_BACKLOG"
    HIGH_FAILURE_RATE = "HIGH_FAILURE_RATE"
    SLOW_PROCESSING = "SLOW_PROCESSING"
    DEAD_LETTERS = "DEAD_LETTERS"
    TASK_LATE = "TASK_LATE"
    NO_PROGRESS = "NO_PROGRESS"
    NODE_DOWN = "NODE_DOWN"
    BOT_DOWN = "BOT_DOWN"
    PLUGIN_BROKEN = "PLUGIN_BROKEN"
    CURSOR_LAG = "CURSOR_LAG"
    UNKNOWN_KIND = "UNKNOWN_KIND"
    DEVICE_OFFLINE = "DEVICE_OFFLINE"
    DEVICE_FLAPPING = "DEVICE_FLAPPING"
    DUPLICATE_DEVICE = "DUPLICATE_DEVICE"
    BATTERY_HOT = "BATTERY_HOT"
    BATTERY_LOW = "BATTERY_LOW"
    STORAGE_LOW = "STORAGE_LOW"
    MEMORY_LOW = "MEMORY_LOW"
    THERMAL_SEVERE = "THERMAL_SEVERE"
    DEVICE_SILENT = "DEVICE_SILENT"
    LOW_DISK = "LOW_DISK"
    OUTBOX_FULL = "OUTBOX_FULL"
    CLOCK_SKEW = "CLOCK_SKEW"
    CLONED_OUTBOX = "CLONED_OUTBOX"
    STORE_ROLLED_BACK = "STORE_ROLLED_BACK"
    MESSAGES_NOT_KEPT = "MESSAGES_NOT_KEPT"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """When a condition is an incident. Its measure grows with the trouble.

    The gap between `opens_at` and `closes_at`, and the two times, keep one that sways from opening again and again.
    """

    severity: Severity
    opens_at: float
    """From this measure on it is one ..."""
    opens_after_s: float
    """... when it stays so for as long."""
    closes_at: float
    """Below this measure it is over ..."""
    closes_after_s: float
    """... when it stays so for as long."""
    is_counted: bool = False
    """It happens instead of lasting: each time counts, and it is over when it has not happened for so long."""
    means: str
    to_do: str


_FRESH_S: Final = 60.0
"""Longer than a heartbeat and than a broker that starts needs to hear of all its nodes."""


def _lasting(severity: Severity, opens_after_s: float, means: str, to_do: str) -> Rule:
    return Rule(
        severity=severity,
        opens_at=1,
        opens_after_s=opens_after_s,
        closes_at=1,
        closes_after_s=_FRESH_S,
        means=means,
        to_do=to_do,
    )


def _found(severity: Severity, means: str, to_do: str) -> Rule:
    """What a bot finds: its thresholds lie apart, so that no time is needed here."""
    return Rule(
        severity=severity,
        opens_at=1,
        opens_after_s=0,
        closes_at=1,
        closes_after_s=0,
        means=means,
        to_do=to_do,
    )


def _happening(severity: Severity, means: str, to_do: str) -> Rule:
    return Rule(
        severity=severity,
        opens_at=1,
        opens_after_s=0,
        closes_at=1,
        closes_after_s=limits.INCIDENT_QUIET_S,
        is_counted=True,
        means=means,
        to_do=to_do,
    )


RULES: Final[Mapping[IncidentType, Rule]] = {
    IncidentType.QUEUE_BACKLOG: Rule(
        severity=Severity.MEDIUM,
        opens_at=limits.BACKLOG_TASKS + 1,
        opens_after_s=_FRESH_S,
        closes_at=limits.BACKLOG_TASKS * 0.8,
        closes_after_s=_FRESH_S,
        means="more tasks wait in a queue than usual",
        to_do="add devices or slots, or wait: `doai stats` tells whether it shrinks",
    ),
    IncidentType.HIGH_FAILURE_RATE: Rule(
        severity=Severity.HIGH,
        opens_at=0.3,
        opens_after_s=0,
        closes_at=0.2,
        closes_after_s=_FRESH_S,
        means="of the tasks that ended lately too many failed",
        to_do="`doai tasks --state failed` names the errors: one app, one node or one workflow in common?",
    ),
    IncidentType.SLOW_PROCESSING: Rule(
        severity=Severity.MEDIUM,
        opens_at=2.0,
        opens_after_s=0,
        closes_at=1.5,
        closes_after_s=_FRESH_S,
        means="tasks take far longer than in the hour before",
        to_do="compare `doai stats`, and the load of hosts in `doai nodes`",
    ),
    IncidentType.DEAD_LETTERS: Rule(
        severity=Severity.MEDIUM,
        opens_at=limits.DEAD_LETTERS_ALERT + 1,
        opens_after_s=0,
        closes_at=limits.DEAD_LETTERS_CALM + 1,
        closes_after_s=_FRESH_S,
        means="more dead letters than usual wait for a person",
        to_do="`doai dead list` shows them: try them again or discard them",
    ),
    IncidentType.TASK_LATE: _lasting(
        Severity.MEDIUM,
        _FRESH_S,
        "tasks wait for more than an hour",
        "`doai tasks --state queued` lists them, `doai story ID` says what each waits for",
    ),
    IncidentType.NO_PROGRESS: _lasting(
        Severity.HIGH,
        limits.NO_PROGRESS_S,
        "tasks wait in a queue and none of it runs",
        "`doai story ID` of a waiting task says why; look at `doai nodes` and `doai devices`",
    ),
    IncidentType.NODE_DOWN: _lasting(
        Severity.CRITICAL,
        limits.NODE_DOWN_S,
        "a node is not heard, its devices do nothing for doai",
        "look at its host: power, network, `systemctl status doai-node@NAME`, `doai doctor`",
    ),
    IncidentType.BOT_DOWN: _lasting(
        Severity.HIGH,
        limits.BOT_DOWN_S,
        "a bot is not heard: what it is for is not done",
        "look at its process and its log: `doai bots show NAME`; not wanted any more: `doai bots deactivate NAME`",
    ),
    IncidentType.PLUGIN_BROKEN: _lasting(
        Severity.MEDIUM,
        0,
        "a plug-in of a node does not import, crashed again and again, or leaks",
        "`doai plugins list` says what is wrong: mend its folder, the node takes a change by itself",
    ),
    IncidentType.CURSOR_LAG: Rule(
        severity=Severity.HIGH,
        opens_at=1.0,
        opens_after_s=0,
        closes_at=0.8,
        closes_after_s=_FRESH_S,
        means="a subscription of a bot is so far behind that old events are removed before it hears of them",
        to_do="let the bot work faster, or begin anew: `doai bots reset NAME SUBSCRIPTION --to-end`",
    ),
    IncidentType.UNKNOWN_KIND: _lasting(
        Severity.MEDIUM,
        _FRESH_S,
        "tasks wait for a kind that no bot takes",
        "start the bot that takes them, or cancel their runs: `doai bots` lists what there is",
    ),
    IncidentType.DEVICE_OFFLINE: _lasting(
        Severity.MEDIUM,
        limits.DEVICE_DOWN_S,
        "a device can not work though its node does",
        "`doai devices` gives the reason; look at cable, hub, power and the phone's screen",
    ),
    IncidentType.DEVICE_FLAPPING: Rule(
        severity=Severity.MEDIUM,
        opens_at=limits.FLAPS,
        opens_after_s=0,
        closes_at=2,
        closes_after_s=_FRESH_S,
        means="a device comes and goes",
        to_do="change its cable or its port of the hub; `doai quarantine SERIAL` gives it no tasks meanwhile",
    ),
    IncidentType.DUPLICATE_DEVICE: _lasting(
        Severity.HIGH,
        0,
        "two nodes see one device",
        "disconnect it from one of the two; two phones of one serial number can not be told apart",
    ),
    IncidentType.BATTERY_HOT: _found(
        Severity.HIGH,
        "the battery of a device is too hot: it ages, and may swell",
        "give it air and shade, take it off the charger; thresholds: `doai bots show health-bot`",
    ),
    IncidentType.BATTERY_LOW: _found(
        Severity.MEDIUM,
        "the battery of a device is nearly empty",
        "look at its cable and whether the hub gives enough power",
    ),
    IncidentType.STORAGE_LOW: _found(
        Severity.MEDIUM,
        "the storage of a device is nearly full: installations and pictures fail",
        "remove apps and files from it: `app.uninstall`, `app.clear`, or by hand",
    ),
    IncidentType.MEMORY_LOW: _found(
        Severity.LOW,
        "a device has hardly any memory left: apps are ended and it is slow",
        "restart it: `doai run reboot --on SERIAL`",
    ),
    IncidentType.THERMAL_SEVERE: _found(
        Severity.HIGH,
        "a device is so hot that Android slows it down: what is measured on it means little",
        "give it air, or less to do; `doai devices samples SERIAL` shows since when",
    ),
    IncidentType.DEVICE_SILENT: _found(
        Severity.MEDIUM,
        "a device is connected and does not say how it is",
        "look at its screen, restart it: `doai run reboot --on SERIAL`",
    ),
    IncidentType.LOW_DISK: _lasting(
        Severity.CRITICAL,
        0,
        "a disk has only room left for what has begun: nothing new is taken",
        "make space on that host, or lower disk_reserve_mb",
    ),
    IncidentType.OUTBOX_FULL: Rule(
        severity=Severity.HIGH,
        opens_at=limits.OUTBOX_RECORDS_MAX * limits.OUTBOX_START_SHARE,
        opens_after_s=0,
        closes_at=limits.OUTBOX_RECORDS_MAX * limits.OUTBOX_START_SHARE / 2,
        closes_after_s=0,
        means="a node has told more than the broker has taken, it begins no task",
        to_do="look at the broker's disk and load, and at the network between the two",
    ),
    IncidentType.CLOCK_SKEW: Rule(
        severity=Severity.MEDIUM,
        opens_at=limits.CLOCK_SKEW_S,
        opens_after_s=_FRESH_S,
        closes_at=limits.CLOCK_SKEW_S / 2,
        closes_after_s=_FRESH_S,
        means="the clock of a node's host is another than the broker's: times of its steps are wrong",
        to_do="set up time synchronisation on that host: `timedatectl` says how it stands",
    ),
    IncidentType.CLONED_OUTBOX: _happening(
        Severity.CRITICAL,
        "two processes use copies of one node's data",
        "stop one of the two, and give it a name and a key of its own: `doai nodes enroll NAME`",
    ),
    IncidentType.STORE_ROLLED_BACK: _happening(
        Severity.HIGH,
        "the store of the broker, or the outbox of a node, is an older one than before",
        "nothing that nodes still keep is lost; find out who restored a disk or a backup",
    ),
    IncidentType.MESSAGES_NOT_KEPT: _happening(
        Severity.HIGH,
        "a node goes on telling what can not be handled: no more of it is kept, it is only counted",
        "look at those that are kept (`doai dead list --node NAME`), compare the versions of node and broker, "
        "discard them; where the node is not yours any more, take its key away: `doai nodes revoke NAME`",
    ),
}
"""In the order in which they are told."""
