"""Samples of devices in a world: a bot that wants them, phones that answer, late or never; and what must hold.

No node reads a phone twice at once, nor more phones than were ordered; what is stored is one sample a minute, and
an hour comes to its minutes; once faults end, samples come again of every node that has a phone.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from doai.broker.core.condition_symptoms import conditions_of
from doai.changes.samples import MINUTES_AN_HOUR, SampleSum
from doai.codec import Kind, decode, encode, unpack_header
from doai.envelope import Message
from doai.limits import SAMPLE_BYTES_MAX, SAMPLE_TIMEOUT_S
from doai.messages import bots as b
from doai.messages.commands import Reply
from doai.messages.health import REPORT_HEALTH, Condition, HealthRule, ReportHealth
from doai.messages.link import Role
from doai.messages.samples import DEVICE_HEALTH, DeviceHealth
from doai.states import DeviceState
from tests.sim.admin import AdminProcess
from tests.sim.mix import SAMPLES, has
from tests.sim.world import Violation

if TYPE_CHECKING:
    from tests.sim.node import NodeProcess
    from tests.sim.simulation import Simulation

NAME: Final = "watcher"
ORDER: Final = b.Subscription(
    name="health", samples=[DEVICE_HEALTH], every_s=30.0, every_setting="every", at_once=2
)
REGISTRATION: Final = b.RegisterBot(
    name=NAME,
    subscriptions=[ORDER],
    config_schema={"type": "object", "properties": {"every": {"type": "string"}}},
)
HOT_C: Final = 45.0
_TOO_LARGE: Final = "x" * SAMPLE_BYTES_MAX
ANSWER_S: Final = 10.0
AGAIN_S: Final = 120.0
"""After the last fault each node is heard within this: connections, registration, an interval, a silent phone."""


class Watcher(AdminProcess):
    """The bot: registers, subscribes, and is done with samples after a while."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._taken = 0
        self._asked: int | None = None
        """How often it has asked for its subscription, while nobody has answered."""
        super().__init__(samples.simulation.world, samples.simulation.network, NAME, Role.BOT)

    def _frame(self, epoch: int, instance: str, header_bytes: bytes, body: bytes) -> None:
        header = unpack_header(header_bytes)
        super()._frame(epoch, instance, header_bytes, body)
        if instance != self._instance or epoch != self._epoch:
            return
        if header.kind == Kind.WELCOME or (header.kind == Kind.SUBSCRIBED and decode(body, b.Subscribed).problem):
            self._register()
        elif header.kind == Kind.SUBSCRIBED:
            self._asked = None
        elif header.kind == Kind.SAMPLES:
            self._taken += 1
            for sample in decode(body, b.Samples).samples:
                health = msgspec.msgpack.decode(sample.payload, type=DeviceHealth)
                self._samples.given(health)
                self._report(health)
            self.world.after(self._samples.random.uniform(0.01, 3.0), self._done, epoch, instance)

    def _done(self, epoch: int, instance: str) -> None:
        if instance == self._instance and epoch == self._epoch:
            cursor = b.Cursor(channel=1, credit_events=1, credit_bytes=1 << 20, samples_taken=self._taken)
            self.send_raw(Kind.CURSOR, encode(cursor))

    def _report(self, health: DeviceHealth) -> None:
        found = []
        if (health.battery_temp_c or 0.0) >= HOT_C:
            rule = HealthRule.BATTERY_HOT
            found.append(Condition(rule=rule, value=health.battery_temp_c or 0.0, limit=HOT_C))
        if health.thermal_status == "severe":
            found.append(Condition(rule=HealthRule.THERMAL_SEVERE, value=3.0, limit=3.0))
        if health.problem:
            found.append(Condition(rule=HealthRule.UNANSWERED, value=1, limit=1))
        wish = ReportHealth(serial=health.serial, conditions=found)
        if self._samples.is_news(wish):
            self.command(REPORT_HEALTH, wish, self._samples.reported, key=None)

    def _register(self) -> None:
        epoch = self._epoch

        def subscribe(payload: Any, reply: Reply) -> None:
            if reply.problem is None:
                self._subscribe(epoch, 1)

        self._pending.clear()
        self.command(b.REGISTER_BOT, REGISTRATION, subscribe, key=None)

    def _subscribe(self, epoch: int, times: int) -> None:
        """Ask for samples, and again while nobody answers: a frame may be lost."""
        if epoch != self._epoch or (times > 1 and self._asked != times - 1):
            return
        self._asked, self._taken = times, 0
        wish = b.Subscribe(channel=1, subscription=ORDER.name, credit_events=1, credit_bytes=1 << 20)
        self.send_raw(Kind.SUBSCRIBE, encode(wish))
        self.world.after(ANSWER_S, self._subscribe, epoch, times + 1)


class Samples:
    """The bot of a world that wants samples, and its checker."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self.simulation = simulation
        self.random = Random(seed)
        self.heard_s: dict[str, float] = {}
        """Node by whose name a serial begins -> when a sample of it last reached the bot."""
        self._reading: dict[tuple[str, int], set[str]] = {}
        """By node and its life."""
        self._newest: dict[str, ReportHealth] = {}
        """What the bot told last of each phone."""
        self.calm = False
        """All phones are well: what would be told for ever, a slow bot would be behind for ever."""
        self.is_there = has(seed, SAMPLES)
        if self.is_there:
            self._watcher = Watcher(self)
            simulation.world.after(self.random.uniform(10.0, 60.0), self._operate)

    def _operate(self) -> None:
        """An operator has it read phones at another pace, or lets it rest for a while."""
        if self.calm:
            return
        world, ask = self.simulation.world, self._ask
        if self.random.random() < 0.5:
            ask(
                b.CONFIGURE_BOT,
                b.ConfigureBot(name=NAME, config={"every": self.random.choice(("20s", "40s", "soon"))}),
            )
        else:
            ask(b.SET_BOT_STATUS, b.SetBotStatus(name=NAME, status=b.BotStatus.INACTIVE, reason="sim"))
            world.after(self.random.uniform(10.0, 50.0), self._works)
        world.after(self.random.uniform(30.0, 120.0), self._operate)

    def _works(self) -> None:
        self._ask(b.SET_BOT_STATUS, b.SetBotStatus(name=NAME, status=b.BotStatus.ACTIVE))

    def settle(self) -> None:
        """Phones are well, and the bot works as it did at first."""
        self.calm = True
        if self.is_there:
            self._works()
            self._ask(b.CONFIGURE_BOT, b.ConfigureBot(name=NAME, config={}))

    def _ask(self, command: str, wish: Message) -> None:
        self.simulation.admin.command(command, wish, _nothing)

    def read(self, node: NodeProcess, serial: str) -> None:
        """A node wants to know how a phone is."""
        reading = self._reading.setdefault((f"{node.name}/{id(node)}", node.lives), set())
        if serial in reading:
            raise Violation("sampled_twice", f"{node.name} reads {serial}, which it is still reading", serial)
        reading.add(serial)
        if len(reading) > ORDER.at_once:
            raise Violation("bounds", f"{node.name} reads {len(reading)} phones at once", node.name)
        silent = self.random.random() < 0.1 and not self.calm
        self.simulation.world.fault("phone_not_sampled" if silent else "phone_sampled")
        hottest_c = HOT_C - 1.0 if self.calm else 50.0
        delay_s = SAMPLE_TIMEOUT_S if silent else self.random.uniform(0.05, 1.0)
        health = DeviceHealth(
            serial=serial,
            problem="silent" if silent else "",
            thermal_status="severe" if not (silent or self.calm) and self.random.random() < 0.1 else "unknown",
            foreground_app=_TOO_LARGE if not self.calm and self.random.random() < 0.002 else "",
            battery_temp_c=None if silent else round(self.random.uniform(20.0, hottest_c), 1),
        )
        self.simulation.world.after(delay_s, self._answer, node, node.lives, health)

    def _answer(self, node: NodeProcess, life: int, health: DeviceHealth) -> None:
        if node.lives == life and node.frozen:
            self.simulation.world.after(1.0, self._answer, node, life, health)
        elif node.lives == life and node.core is not None:
            self._reading[f"{node.name}/{id(node)}", life].discard(health.serial)
            node.health_read(health)

    def given(self, health: DeviceHealth) -> None:
        """A sample reached the bot."""
        for node in self.simulation.nodes:
            if health.serial in node.phones:
                self.heard_s[node.name] = self.simulation.world.now_s

    def is_news(self, wish: ReportHealth) -> bool:
        """Whether another thing is wrong with a phone than the bot told last."""
        before = self._newest.get(wish.serial)
        if before is not None and [c.rule for c in before.conditions] == [c.rule for c in wish.conditions]:
            return False
        self._newest[wish.serial] = wish
        return True

    def reported(self, payload: Message, reply: Reply) -> None:
        """The broker has taken it: unless there is something newer by now, that is what is so."""
        assert isinstance(payload, ReportHealth)
        broker = self.simulation.broker
        if reply.problem is not None or self._newest[payload.serial] is not payload or broker.core is None:
            return
        row = broker.core.state.conditions.get((payload.serial, NAME))
        rules = [condition.rule for condition in payload.conditions]
        if row is not None and [condition.rule for condition in conditions_of(row)] != rules:
            raise Violation("condition", f"{payload.serial}: told {rules}, kept {row.body!r}", payload.serial)
        self.simulation.world.fault("condition_told" if rules else "condition_over")

    def check_at_end(self) -> None:
        """Samples come again, and what is stored of them adds up."""
        if not self.is_there:
            return
        world = self.simulation.world
        began_s = world.now_s

        def missing() -> list[str]:
            return [
                node.name
                for node in self.simulation.nodes
                if any(phone.state is DeviceState.ONLINE for phone in node.phones.values())
                and self.heard_s.get(node.name, -1.0) < began_s
            ]

        world.run(began_s + AGAIN_S, lambda: not missing())
        if missing():
            raise Violation("not_sampled", f"no sample of {', '.join(missing())} came for {AGAIN_S:g} s")
        tables = self.simulation.broker.disk.tables
        minutes: dict[tuple[str, int], int] = {}
        for serial, minute in tables.device_samples:
            key = serial, minute // MINUTES_AN_HOUR
            minutes[key] = minutes.get(key, 0) + 1
        hours = {key: msgspec.json.decode(body, type=SampleSum) for key, body in tables.sample_hours.items()}
        if {key: found.samples for key, found in hours.items()} != minutes:
            raise Violation("sample_sums", "what hours of samples come to differs from their minutes")


def _nothing(payload: Message, reply: Reply) -> None:
    """An answer of which nothing follows."""
