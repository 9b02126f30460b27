"""What no good peer sends: the broker answers or closes, and serves the others (steps 1, 11, 12)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import msgspec

from doai import topics
from doai.codec import Kind, encode, pack_header, raw
from doai.envelope import Envelope, Message
from doai.messages import bots as b
from doai.messages import commands as c
from doai.messages import holds as h
from doai.messages.events import DeviceOffline, DeviceOnline, SystemNotice
from doai.messages.link import Bye, Heartbeat, Hello, HostSample, Record, Records, Role
from doai.messages.work import Holdings
from doai.states import DeviceState
from tests.sim.admin import AdminProcess
from tests.sim.letters import POISON
from tests.sim.network import Connection
from tests.sim.odd_commands import ODD, OF_A_BOT

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation


class Strange:
    """Peers that misbehave, under keys of their own."""

    def __init__(self, simulation: Simulation, robot: AdminProcess) -> None:
        self._sim = simulation
        self._world = simulation.world
        self._robot = robot
        self._ids = simulation.ids
        self._connections: dict[str, Connection] = {}
        self._seq = 0
        self._epoch = 0
        self._kinds = (
            self._garbage,
            self._unknown_kind,
            self._half_header,
            self._wrong_name,
            self._wrong_role,
            self._no_incarnation,
            self._other_instance,
            self._odd_facts,
            self._odd_fact_bytes,
            self._failing_fact,
            self._failing_fact,
            self._node_commands,
            self._gap,
            self._flood,
            self._hello_flood,
            self._malformed,
            self._foreign_tokens,
            self._other_bot,
            self._bot_commands,
            self._bye,
            self._odd_commands,
            self._odd_commands,
        )

    def frame(self) -> bool:
        """Send something strange."""
        if not self._sim.broker.alive:
            return False
        self._world.random.choice(self._kinds)()
        return True

    def revoke_key(self) -> bool:
        """An operator revokes the stranger's key, and makes it a new one."""
        admin = self._sim.admin
        admin.command(c.REVOKE_KEY, c.RevokeKey(name="stranger"), _nothing)
        key = f"{self._world.random.getrandbits(64):x}".ljust(40, "z")
        add = c.AddKey(name="stranger", role="node", public_key=key)
        self._world.after(5.0, admin.command, c.ADD_KEY, add, _nothing)
        return True

    def quarantine(self) -> bool:
        """An operator takes a device or a node out of service, or back, now and then twice."""
        random, admin = self._world.random, self._sim.admin
        serial = random.choice([*self._sim.phones, "no-such-phone"])
        name = random.choice([*(node.name for node in self._sim.nodes), "no-such-node"])
        for_s = random.choice((None, 5.0, 40.0, -1.0, 1e9))
        if random.random() < 0.6:
            admin.command(c.QUARANTINE_DEVICE, c.QuarantineDevice(serial=serial, for_s=for_s), _nothing)
            again: tuple[str, Message] = (c.RELEASE_DEVICE, c.ReleaseDevice(serial=serial))
        else:
            admin.command(c.QUARANTINE_NODE, c.QuarantineNode(node_id=name, for_s=for_s), _nothing)
            again = (c.RELEASE_NODE, c.ReleaseNode(node_id=name))
        if random.random() < 0.5:
            self._world.after(random.uniform(0.0, 20.0), admin.command, *again, _nothing)
        return True

    def release_all(self) -> None:
        """An operator takes everything back into service, also what went out of it by itself lately."""
        admin, tables = self._sim.admin, self._sim.broker.disk.tables
        for serial, device in tables.devices.items():
            if device.quarantine is not None and serial in self._sim.phones:
                admin.command(c.RELEASE_DEVICE, c.ReleaseDevice(serial=serial), _nothing)
            # Holds end by themselves; of a broker that started again an hour earlier they last an hour longer.
            if device.hold is not None and serial in self._sim.phones and self._world.faults["utc_jump_back"]:
                admin.command(h.UNHOLD_DEVICE, h.UnholdDevice(serial=serial, force=True), _nothing)
        names = {node.name for node in self._sim.nodes}
        for name, node in tables.nodes.items():
            if node.quarantine is not None and name in names:
                admin.command(c.RELEASE_NODE, c.ReleaseNode(node_id=name), _nothing)

    # --- peers --------------------------------------------------------------------------------------------

    def _dial(self, name: str) -> Connection:
        connection = self._connections.get(name)
        if connection is None or connection.closed:
            connection = self._connections[name] = self._sim.network.dial(name, lambda header, body: None)
        return connection

    def close(self) -> None:
        """They are gone."""
        for connection in self._connections.values():
            connection.close()

    def _send(self, kind: int, body: bytes, name: str = "stranger") -> None:
        self._dial(name).send(pack_header(kind), body)

    def _hello(self, **fields: Any) -> Hello:
        self._epoch += 1
        hello = Hello(
            name="stranger",
            instance="main",
            role=Role.NODE,
            sample=HostSample(host="x", pid=1, version="0", started_at_ms=0, slots=1),
            incarnation="strange",
            epoch=self._epoch,
            highest_seq=self._seq,
        )
        return msgspec.structs.replace(hello, **fields)

    def _greet(self, name: str = "stranger", **fields: Any) -> None:
        self._send(Kind.HELLO, encode(self._hello(**fields)), name)

    def _garbage(self) -> None:
        self._greet()
        for kind in (Kind.RECORDS, Kind.HEARTBEAT, Kind.HOLDINGS, Kind.COMMAND, Kind.HELLO):
            self._send(kind, self._world.random.randbytes(9))

    def _unknown_kind(self) -> None:
        self._greet()
        self._send(99, b"")

    def _half_header(self) -> None:
        self._dial("stranger").send(b"\x01", b"")
        self._dial("stranger").send(b"", b"")
        self._dial("stranger").send(b"\x09" + pack_header(Kind.HELLO)[1:], b"")

    def _wrong_name(self) -> None:
        self._greet(name="stranger", instance="no such instance!")
        hello = msgspec.structs.replace(self._hello(), name="admin")
        self._send(Kind.HELLO, encode(hello))
        nobody = msgspec.structs.replace(self._hello(), name="nobody")
        self._send(Kind.HELLO, encode(nobody), "nobody")

    def _wrong_role(self) -> None:
        self._greet(role=Role.ADMIN)
        self._greet()
        self._send(Kind.COMMAND, encode(self._envelope("run.create", c.CancelRun(run_id="x"))))

    def _no_incarnation(self) -> None:
        self._greet(incarnation="")

    def _other_instance(self) -> None:
        self._greet(instance=self._world.random.choice(("main", "other")))

    def _node_commands(self) -> None:
        self._robot.send_raw(Kind.RECORDS, encode(Records([])))

    def _bye(self) -> None:
        self._greet()
        self._send(Kind.BYE, encode(Bye(reason="enough")))

    def _gap(self) -> None:
        self._fresh()
        envelope = encode(self._envelope("weather.changed", c.CancelRun(run_id="x")))
        self._send(Kind.RECORDS, encode(Records([Record(self._seq + 5, msgspec.Raw(envelope))])))

    def _fresh(self) -> str:
        """Begin a new life of its stream, so that its place is known; return its name."""
        self._seq = 0
        self._epoch = 0
        incarnation = self._ids.new_id(0)
        self._greet(incarnation=incarnation)
        return incarnation

    def _envelope(self, event_type: str, payload: Message) -> Envelope:
        return Envelope(
            event_id=self._ids.new_id(0),
            type=event_type,
            subject="node/stranger",
            source="stranger/main",
            trace_id=self._ids.new_trace_id(),
            occurred_at_ms=1,
            payload=raw(payload),
        )

    def _odd_facts(self) -> None:
        notice = SystemNotice(code="x", message="y", subject="z")
        nowhere = DeviceOnline(serial="../etc", node_id="stranger", driver="", connection="")
        odd = (
            self._envelope("task.completed", notice),
            self._envelope("weather.changed", notice),
            self._envelope(topics.DEVICE_ONLINE, nowhere),
            self._envelope(topics.DEVICE_OFFLINE, nowhere),
            self._envelope(topics.ATTEMPT_ENDED, notice),
            self._envelope(
                topics.DEVICE_OFFLINE,
                DeviceOffline(
                    serial=f"S{self._world.random.randrange(9)}",
                    node_id="stranger",
                    state=DeviceState.UNAUTHORIZED,
                    reason="new",
                ),
            ),
            self._envelope(
                topics.DEVICE_OFFLINE,
                DeviceOffline(serial="n0-0", node_id="stranger", state=DeviceState.OFFLINE, reason="not mine"),
            ),
            msgspec.structs.replace(self._envelope(topics.SYSTEM_ALERT, notice), source="n0/main"),
            self._envelope(topics.SYSTEM_ALERT, notice),
        )
        incarnation = self._fresh()
        # The type of the 6th is known, its serial is none of ours; the last three are told by nodes.
        self._poison(incarnation, 1, 2, 3, 4, 5)
        records = [Record(n, msgspec.Raw(encode(envelope))) for n, envelope in enumerate(odd, 1)]
        self._send(Kind.RECORDS, encode(Records(records)))
        self._send(Kind.RECORDS, encode(Records(records)))
        changed = Record(2, msgspec.Raw(encode(odd[0])))
        self._send(Kind.RECORDS, encode(Records([changed])))

    def _odd_fact_bytes(self) -> None:
        self._poison(self._fresh(), 1)
        self._send(Kind.RECORDS, encode(Records([Record(1, msgspec.Raw(b"\x01"))])))
        self._send(Kind.RECORDS, encode(Records([])))

    def _failing_fact(self) -> None:
        """A fact that can be read and makes its handler fail, between others; sent until it is taken."""
        notice = SystemNotice(code="x", message="y", subject="z")
        bad = DeviceOnline(serial=POISON, node_id="stranger", driver="", connection="")
        facts = (
            self._envelope(topics.SYSTEM_ERROR, notice),
            self._envelope(topics.DEVICE_ONLINE, bad),
            self._envelope(topics.SYSTEM_ERROR, notice),
        )
        records = encode(Records([Record(n, msgspec.Raw(encode(fact))) for n, fact in enumerate(facts, 1)]))
        incarnation = self._fresh()
        self._poison(incarnation, 2)
        self._send(Kind.RECORDS, records)
        if self._world.random.random() < 0.5:  # much comes meanwhile
            self._sim.broker.disk.pace.slow_until_s = self._world.now_s + 1.0
        for number in range(60):  # some come while the broker has decided to load again, and has not yet
            at_s = 0.002 * number
            self._world.after(at_s, self._sim.broker.disk_room, 1 << 40)
            if number % 10 == 9:
                self._world.after(at_s, self._sim.broker.malformed, 0, "stranger", b"\x00")
        for wait_s in (3.0, 6.0):
            self._world.after(wait_s, functools.partial(self._greet, incarnation=incarnation))
            self._world.after(wait_s + 1.0, self._send, Kind.RECORDS, records)

    def _poison(self, incarnation: str, *places: int) -> None:
        self._sim.letters.poison.update(("stranger", incarnation, place) for place in places)

    def _flood(self) -> None:
        self._greet()
        for _ in range(self._burst):
            self._send(Kind.FORWARD, b"")
        self._world.faults["flood"] += 1

    def _hello_flood(self) -> None:
        for _ in range(60):
            self._send(Kind.HELLO, b"\xc1")
            self._greet(epoch=1)

    def _malformed(self) -> None:
        name = self._world.random.choice(("", "stranger"))
        for _ in range(self._burst):
            self._sim.broker.malformed(0, name, b"\x00" * 9)

    @property
    def _burst(self) -> int:
        """Frames of a flood: more than the broker hears at once, where that is little."""
        return int(self._sim.scenario.settings.frames.burst * 1.2) if self._sim.scenario.tight else 25

    def _foreign_tokens(self) -> None:
        """It holds what nobody gave it."""
        self._greet()
        self._send(Kind.HOLDINGS, encode(Holdings(tasks=[], as_of_seq=0)))
        beat = Heartbeat(sample=HostSample(host="x", pid=1, version="0", started_at_ms=0), tokens=[(1, 10**9)])
        self._send(Kind.HEARTBEAT, encode(beat))

    def _other_bot(self) -> None:
        """Two processes of a bot over one connection."""
        for instance in ("one", "two"):
            hello = msgspec.structs.replace(self._hello(instance=instance), name="robot", role=Role.BOT)
            self._send(Kind.HELLO, encode(hello), "robot")

    # --- commands -----------------------------------------------------------------------------------------

    def _bot_commands(self) -> None:
        random = self._world.random
        for command_type, payload in OF_A_BOT:
            self._robot.command(command_type, payload, _nothing, key=None)
        self._robot.command(b.REGISTER_BOT, b.RegisterBot(name="robot"), _nothing, key=None)
        # It reserves a phone for itself, and works on it while others wait for it.
        serial = random.choice(list(self._sim.phones))
        hold = h.HoldDevice(serial=serial, for_s=random.choice((20.0, 90.0)), reason="sim")
        self._robot.command(h.HOLD_DEVICE, hold, _nothing)
        targets = c.Targets(kind=c.TargetKind.DEVICES, serials=[serial])
        run = c.CreateRun(workflow="look", targets=targets, project="sim")
        self._robot.command(c.CREATE_RUN, run, self._sim.workload.was_created)
        if random.random() < 0.5:
            back = h.UnholdDevice(serial=serial)
            self._world.after(random.uniform(5.0, 60.0), self._robot.command, h.UNHOLD_DEVICE, back, _nothing)

    def _odd_commands(self) -> None:
        for command_type, payload in ODD:
            key = self._world.random.choice(("new", "new", None, "shared-key", "k" * 300))
            self._sim.admin.command(command_type, payload, _nothing, key=key)


def _nothing(payload: Any, reply: c.Reply) -> None:
    """An answer of which nothing follows."""
