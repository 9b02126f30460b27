"""What is done to a world at random times, and undone again; counted when it has happened (steps 2-11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from doai.states import DeviceState
from doai.store.memory_outbox import MemoryOutboxFile
from tests.sim.network import Network
from tests.sim.node import NodeProcess
from tests.sim.phones import Phone
from tests.sim.strange import Strange

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation


class Nemesis:
    """Draws faults until it is told to stop."""

    def __init__(self, simulation: Simulation, strange: Strange) -> None:
        self._sim = simulation
        self._world = simulation.world
        self._network: Network = simulation.network
        self._strange = strange
        self._active = True
        self._old_disks: dict[str, tuple[MemoryOutboxFile, list[str]]] = {}
        self._kinds: dict[str, Callable[[], bool]] = {
            "cut": self._cut,
            "partition": lambda: self._partition([self._node()], inwards=True, outwards=True),
            "partition_all": lambda: self._partition(simulation.nodes, inwards=True, outwards=True),
            "one_way_in": lambda: self._partition([self._node()], inwards=True, outwards=False),
            "one_way_out": lambda: self._partition([self._node()], inwards=False, outwards=True),
            "slow_peer": self._slow_peer,
            "socket_lost": self._socket_lost,
            "broker_kill": self._broker_kill,
            "broker_freeze": self._broker_freeze,
            "broker_commit_fails": self._broker_commit_fails,
            "broker_restore": self._broker_restore,
            "node_kill": self._node_kill,
            "node_freeze": self._node_freeze,
            "node_drain": self._node_drain,
            "node_reboot": self._node_reboot,
            "node_commit_fails": self._node_commit_fails,
            "node_old_disk": self._node_old_disk,
            "node_clone": self._node_clone,
            "slow_disk": self._slow_disk,
            "utc_jump_forward": lambda: self._utc_jump(1),
            "utc_jump_back": lambda: self._utc_jump(-1),
            "phone_offline": lambda: self._phone(DeviceState.OFFLINE),
            "phone_hangs": lambda: self._phone(DeviceState.UNRESPONSIVE),
            "phone_moves": lambda: self._phone_elsewhere(stays=False),
            "phone_on_two_nodes": lambda: self._phone_elsewhere(stays=True),
            "phone_dies": self._phone_dies,
            "phone_changes": self._phone_changes,
            "admin_restart": self._admin_restart,
            "strange_frame": strange.frame,
            "key_revoked": strange.revoke_key,
            "driver_notice": self._driver_notice,
            "quarantine": strange.quarantine,
            "operator": simulation.operator.deed,
            "disk_low": simulation.operator.disk_low,
            "hold": simulation.operator.hold,
            "incident": simulation.operator.incident,
            "dead_letters": simulation.letters.decide,
            "queue_changes": simulation.queue_operator.change,
            "zones_gone": simulation.workload.campaigns.zones_gone,
        }
        self._schedule()

    def stop(self) -> None:
        """No more faults; what was broken is mended."""
        self._active = False

    def _schedule(self) -> None:
        mean_s = self._sim.scenario.fault_every_s
        self._world.after(self._world.random.expovariate(1.0 / mean_s), self._strike)

    def _strike(self) -> None:
        weights = self._sim.scenario.faults
        if not self._active or not weights:
            return
        kind = self._world.random.choices(list(weights), list(weights.values()))[0]
        if self._kinds[kind]():
            self._world.fault(kind)
        self._schedule()

    def _node(self) -> NodeProcess:
        return self._world.random.choice(self._sim.nodes)

    def _span_s(self) -> float:
        return self._world.random.choice((1.0, 8.0, 25.0, 70.0)) * self._world.random.uniform(0.3, 1.5)

    # --- the network --------------------------------------------------------------------------------------

    def _cut(self) -> bool:
        name = self._world.random.choice([node.name for node in self._sim.nodes] + ["admin"])
        self._network.break_links(name)
        return True

    def _partition(self, nodes: list[NodeProcess], *, inwards: bool, outwards: bool) -> bool:
        if len(nodes) > 1:
            nodes = self._world.random.sample(nodes, self._world.random.randint(2, len(nodes)))
        for node in nodes:
            self._network.cut(node.name, inwards=inwards, outwards=outwards)
            self._world.after(self._span_s(), self._network.heal, node.name)
        return True

    def _slow_peer(self) -> bool:
        name = self._node().name
        self._network.slow[name] = self._world.random.uniform(0.5, 12.0)
        self._world.after(self._span_s(), self._network.slow.pop, name, 0.0)
        return True

    def _socket_lost(self) -> bool:
        self._node().socket_lost()
        return True

    # --- the broker ---------------------------------------------------------------------------------------

    def _broker_kill(self) -> bool:
        broker = self._sim.broker
        if not broker.alive:
            return False
        broker.kill()
        self._world.after(self._world.random.choice((0.2, 2.0, 20.0, 75.0)), broker.start)
        return True

    def _broker_freeze(self) -> bool:
        broker = self._sim.broker
        if not broker.alive or broker.frozen:
            return False
        broker.freeze()
        self._world.after(self._span_s(), broker.thaw)
        return True

    def _broker_commit_fails(self) -> bool:
        if not self._sim.broker.alive:
            return False
        self._sim.broker.commits.fail_next = True
        return True

    def _broker_restore(self) -> bool:
        return self._sim.restore_broker()

    # --- nodes --------------------------------------------------------------------------------------------

    def _node_kill(self) -> bool:
        node = self._node()
        if not node.alive:
            return False
        node.kill()
        self._world.after(self._world.random.choice((0.2, 1.0, 10.0, 100.0)), node.start)
        return True

    def _node_freeze(self) -> bool:
        node = self._node()
        if not node.alive or node.frozen:
            return False
        node.freeze()
        self._world.after(self._world.random.choice((2.0, 20.0, 50.0, 90.0, 260.0)), node.thaw)
        return True

    def _node_drain(self) -> bool:
        node = self._node()
        if not node.alive or node.frozen:
            return False
        node.drain("an operator stops it")
        self._world.after(70.0, node.kill)
        self._world.after(75.0, node.start)
        return True

    def _node_reboot(self) -> bool:
        node = self._node()
        if not node.alive:
            return False
        node.kill()
        node.clock.reboot()
        self._world.after(self._world.random.uniform(5.0, 40.0), node.start)
        return True

    def _node_commit_fails(self) -> bool:
        node = self._node()
        if not node.alive:
            return False
        node.commits.fail_next = True
        return True

    def _node_old_disk(self) -> bool:
        node = self._node()
        if not node.alive or node.disk.is_real:
            return False
        old = self._old_disks.pop(node.name, None)
        if old is None:
            self._old_disks[node.name] = (node.disk.file.copy(), list(node.disk.history))
            return False
        node.kill()
        self._sim.ledger.forked.add(node.name)
        node.disk.file, node.disk.history = old
        self._world.after(1.0, node.start)
        return True

    def _node_clone(self) -> bool:
        node = self._node()
        if not node.alive or node.disk.is_real:
            return False
        self._sim.clone(node)
        return True

    def _slow_disk(self) -> bool:
        disk = self._world.random.choice([self._sim.broker.disk, *(node.disk for node in self._sim.nodes)])
        disk.pace.slow_until_s = self._world.now_s + self._span_s()
        return True

    def _utc_jump(self, sign: int) -> bool:
        clock = self._world.random.choice([self._sim.broker.clock, *(node.clock for node in self._sim.nodes)])
        clock.utc_offset_ms += sign * self._world.random.choice((900, 60_000, 3_600_000))
        return True

    # --- phones -------------------------------------------------------------------------------------------

    def _any_phone(self) -> Phone:
        return self._world.random.choice(list(self._sim.phones.values()))

    def _tell(self, phone: Phone) -> None:
        for node in self._sim.nodes:
            if phone.serial in node.phones:
                node.see(phone)

    def _phone(self, state: DeviceState) -> bool:
        phone = self._any_phone()
        if phone.state is not DeviceState.ONLINE:
            return False
        phone.state = state
        self._world.after(self._world.random.uniform(0.0, 3.0), self._tell, phone)
        self._world.after(self._span_s(), self.mend, phone)
        return True

    def mend(self, phone: Phone) -> None:
        """The phone works again, unless it never does."""
        if not phone.gone_for_good:
            phone.state = DeviceState.ONLINE
            self._tell(phone)

    def _phone_dies(self) -> bool:
        phone = self._any_phone()
        if sum(other.gone_for_good for other in self._sim.phones.values()) >= max(1, len(self._sim.phones) // 8):
            return False
        phone.gone_for_good = True
        phone.state = self._world.random.choice((DeviceState.OFFLINE, DeviceState.UNAUTHORIZED))
        self._tell(phone)
        return True

    def _phone_changes(self) -> bool:
        phone = self._any_phone()
        phone.sdk = self._world.random.choice((28, 29, 30, 33))
        self._tell(phone)
        return True

    def _phone_elsewhere(self, *, stays: bool) -> bool:
        phone, node = self._any_phone(), self._node()
        if phone.serial in node.phones or len(self._sim.nodes) < 2:
            return False
        if not stays:
            for other in self._sim.nodes:
                if phone.serial in other.phones:
                    other.unplug(phone)
                    self._sim.cut_commands(phone, other)
        node.phones[phone.serial] = phone
        node.see(phone)
        return True

    def _driver_notice(self) -> bool:
        node = self._node()
        code = self._world.random.choice(("adb_server_restarted", "upload_refused", "connect_failed"))
        serial = next(iter(node.phones), None) if code == "connect_failed" else None
        node.notice(code, serial)
        return True

    def _admin_restart(self) -> bool:
        self._sim.admin.restart()
        return True
