"""What people say of devices: label, shelf, notes, tags, groups; all of one command, or none of it (step 2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from doai import topics
from doai.broker.core.decision import Decision
from doai.broker.core.scheduler import Scheduler
from doai.broker.core.state import State
from doai.broker.core.tables import Device
from doai.changes.ops import PutDevice
from doai.changes.rows import Description
from doai.envelope import Envelope
from doai.errors import UserError
from doai.limits import DESCRIBED_DEVICES_MAX
from doai.messages.commands import DescribeDevices, DeviceDescription, DevicesDescribed
from doai.messages.events import DeviceDescribed
from doai.workflow.mistakes import did_you_mean

TEXT_CHARACTERS_MAX: Final = {"label": 80, "shelf": 80, "notes": 500}
NAMES_MAX: Final = 32
_NAME: Final = re.compile(r"\w[\w.-]{0,62}")
"""A tag or group: letters of any script, digits, and . _ - after the first."""


class DescriptionError(UserError):
    """Descriptions were refused; ``details`` has every reason, each beginning with the device's serial."""

    code = "bad_description"

    def __init__(self, mistakes: list[str]) -> None:
        more = f" (and {len(mistakes) - 1} more mistakes)" if len(mistakes) > 1 else ""
        super().__init__(f"nothing was changed: {mistakes[0]}{more}")
        self.details = mistakes


class Descriptions:
    """Takes down what people say."""

    def __init__(self, state: State, scheduler: Scheduler) -> None:
        self._state = state
        self._scheduler = scheduler

    def describe(self, decision: Decision, command: Envelope, wish: DescribeDevices) -> DevicesDescribed:
        """Describe devices; raises DescriptionError with every mistake when there is one."""
        if not 1 <= len(wish.devices) <= DESCRIBED_DEVICES_MAX:
            raise UserError(f"one command describes 1 to {DESCRIBED_DEVICES_MAX} devices, not {len(wish.devices)}")
        mistakes = [mistake for said in wish.devices for mistake in self._mistakes(said)]
        serials = [said.serial for said in wish.devices]
        twice = sorted({serial for serial in serials if serials.count(serial) > 1})
        mistakes += [f"{serial[:80]}: it is described twice" for serial in twice]
        if mistakes:
            raise DescriptionError(mistakes)
        changed = 0
        for said in wish.devices:
            device = self._state.devices[said.serial]
            assert device.row is not None
            before = device.row.description or Description()
            after = _described(before, said)
            if after == before:
                continue
            changed += 1
            if not wish.check_only:
                decision.changed(topics.device_subject(device.serial), before, after)
                self._write(decision, device, after, command.actor or command.source)
        return DevicesDescribed(described=len(wish.devices), changed=changed)

    def _write(self, decision: Decision, device: Device, description: Description, actor: str) -> None:
        assert device.row is not None
        device.row = msgspec.structs.replace(device.row, description=description)
        device.facts += 1  # what waits for any device that matches is compared again
        decision.ops.append(PutDevice(device.row))
        told = DeviceDescribed(
            serial=device.serial, node_id=device.row.node_id, actor=actor, **msgspec.structs.asdict(description)
        )
        decision.event(topics.DEVICE_DESCRIBED, topics.device_subject(device.serial), told)
        self._scheduler.mark(device)

    def _mistakes(self, said: DeviceDescription) -> list[str]:
        device = self._state.devices.get(said.serial)
        serial = said.serial[:80]
        if device is None or device.row is None:
            return [f"{serial}: there is no such device, {did_you_mean(said.serial, self._state.devices)}"]
        mistakes = [
            f"{serial}: {name} {problem}"
            for name, most in TEXT_CHARACTERS_MAX.items()
            if (problem := _text_problem(getattr(said, name) or "", most))
        ]
        for name in ("tags", "groups"):
            mistakes += [f"{serial}: {name} {problem}" for problem in _names_problems(getattr(said, name) or [])]
        return mistakes


def _described(before: Description, said: DeviceDescription) -> Description:
    told = {name: getattr(said, name) for name in Description.__struct_fields__}
    given = {name: value for name, value in told.items() if value is not None}
    for name in ("tags", "groups"):
        if name in given:
            given[name] = sorted(set(given[name]))
    return msgspec.structs.replace(before, **given)


def _text_problem(text: str, characters_max: int) -> str:
    if len(text) > characters_max:
        return f"has {len(text)} characters, at most {characters_max} are taken"
    if not text.isprintable():
        return "has a character that can not be printed, such as a line break"
    return ""


def _names_problems(names: Sequence[str]) -> list[str]:
    problems = [
        f"{name[:80]!r} is no name: write letters, digits and . _ -" for name in names if not _NAME.fullmatch(name)
    ]
    return [*problems, *([f"are {len(names)}, at most {NAMES_MAX} are taken"] if len(names) > NAMES_MAX else [])]
