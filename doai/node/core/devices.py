"""What the drivers say of the node's devices: state, and the time of each kind of proof (step 7)."""

from __future__ import annotations

from typing import Final

from doai.drivers.base import DeviceChange, Proof, ProofKind
from doai.messages.link import DeviceProof
from doai.states import DeviceState
from doai.workflow.selection import DeviceFacts

_HERE: Final = frozenset({DeviceState.ONLINE, DeviceState.UNRESPONSIVE})


class Devices:
    """All devices that this process has seen."""

    def __init__(self) -> None:
        self._changes: dict[str, DeviceChange] = {}
        self._drivers: dict[str, str] = {}
        self._proven_s: dict[str, dict[ProofKind, float]] = {}

    def changed(self, change: DeviceChange, driver: str, now_s: float) -> bool:
        """Note a change; returns whether it is one. A device that came online has proven both."""
        known = self._changes.get(change.serial)
        self._changes[change.serial] = change
        self._drivers[change.serial] = driver
        if change.state is DeviceState.ONLINE:
            self._proven_s[change.serial] = {ProofKind.ADB: now_s, ProofKind.ANSWER: now_s}
        return known != change

    def known(self) -> list[tuple[DeviceChange, str]]:
        """Return the newest state of every device, and the name of the driver that told it."""
        return [(change, self._drivers[serial]) for serial, change in self._changes.items()]

    def serials(self) -> list[str]:
        """Return those of all devices that any driver has spoken of."""
        return list(self._changes)

    def proven(self, proof: Proof, now_s: float) -> None:
        """Note a proof."""
        if proof.serial in self._changes:
            self._proven_s.setdefault(proof.serial, {})[proof.kind] = now_s

    def is_online(self, serial: str) -> bool:
        """Whether a task can begin on it."""
        change = self._changes.get(serial)
        return change is not None and change.state is DeviceState.ONLINE

    def is_here(self, serial: str) -> bool:
        """Whether it is connected, though it may not answer at the moment."""
        change = self._changes.get(serial)
        return change is not None and change.state in _HERE

    def is_known(self, serial: str) -> bool:
        """Whether any driver has spoken of it."""
        return serial in self._changes

    def why_not_here(self, serial: str) -> tuple[DeviceState, str]:
        """Return the state of a device that is not here, and the reason as a sentence."""
        change = self._changes.get(serial)
        if change is None:
            # The broker may remember it from another life of this node.
            return DeviceState.OFFLINE, "this node has not found it since it started"
        return change.state, change.reason

    def facts(self, serial: str, *, node_id: str, tags: list[str]) -> DeviceFacts:
        """Return what a recipe may ask of a device."""
        change = self._changes.get(serial)
        info = change.info if change is not None and change.info is not None else None
        return DeviceFacts(
            serial=serial,
            model=info.model if info else "",
            sdk=info.sdk if info else 0,
            node_id=node_id,
            tags=tags,
        )

    def proofs(self, now_s: float) -> list[DeviceProof]:
        """Return the ages of the last proofs, in seconds, of all that are here."""
        found: list[DeviceProof] = []
        by_adb, by_answer = ProofKind.ADB, ProofKind.ANSWER
        for serial, change in self._changes.items():
            if change.state not in _HERE:
                continue
            proven = self._proven_s.get(serial, {})
            adb, answer = proven.get(by_adb), proven.get(by_answer)
            found.append(
                DeviceProof(
                    serial,
                    -1.0 if adb is None else round(now_s - adb, 1),
                    -1.0 if answer is None else round(now_s - answer, 1),
                )
            )
        return found
