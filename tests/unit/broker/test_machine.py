"""Whatever happens in whatever order: what a new broker would load is what this one has in memory."""

from __future__ import annotations

from collections import defaultdict

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from doai import topics
from doai.broker.core.settings import CoreSettings, RateLimit
from doai.errors import ErrorClass
from doai.ids import Token
from doai.messages import commands as c
from doai.messages import holds
from doai.messages.work import Dispatch
from doai.states import TASK_TABLE, TERMINAL, Outcome, TaskState
from tests.unit.broker.harness import TAPPING, FakeAdmin, FakeNode, World, failure

NODES = ("n1", "n2")
DEVICES = {"n1": ("a", "b"), "n2": ("c", "b")}


class BrokerMachine(RuleBasedStateMachine):
    """A broker, two nodes that share a phone, an admin; kills, silence, clones of nothing."""

    @initialize()
    def start(self) -> None:
        self.world = World(CoreSettings(quarantine_after=2, hellos=RateLimit(rate_per_s=1e6, burst=1e6)))
        self.nodes = {name: FakeNode(self.world, name, slots=2) for name in NODES}
        self.connected = dict.fromkeys(NODES, False)
        self.admin = FakeAdmin(self.world)
        self.admin.store()
        self.admin.store(TAPPING)
        self.tokens: set[Token] = set()
        for name, node in self.nodes.items():
            self.connect(name)
            for serial in DEVICES[name]:
                node.device(serial)
            self._flush(node)

    def _saw(self, dispatches: list[Dispatch]) -> None:
        for dispatch in dispatches:
            assert dispatch.token not in self.tokens, "a token is never used again"
            self.tokens.add(dispatch.token)

    def _flush(self, node: FakeNode) -> None:
        if self.connected[node.name]:
            self._saw(node.flush())

    def _pump_all(self) -> None:
        for name, node in self.nodes.items():
            if self.connected[name]:
                self._saw(node.pump())

    @rule(name=st.sampled_from(NODES))
    def connect(self, name: str) -> None:
        node = self.nodes[name]
        known = set(node.held)
        self.world.inbox.pop(node.link, None)
        node.connect()
        self.connected[name] = True
        self._saw([dispatch for token, dispatch in node.held.items() if token not in known])

    @rule(name=st.sampled_from(NODES))
    def lose_connection(self, name: str) -> None:
        self.world.inbox.pop(self.nodes[name].link, None)
        self.world.apply(self.world.core.link_gone(self.nodes[name].link, self.world.now))
        self.world.inbox.pop(self.nodes[name].link, None)
        self.connected[name] = False

    @rule(name=st.sampled_from(NODES))
    def say_goodbye(self, name: str) -> None:
        if self.connected[name]:
            self.nodes[name].bye()
            self.connected[name] = False

    @rule(name=st.sampled_from(NODES), keep=st.booleans())
    def node_loses_what_it_had_not_begun(self, name: str, keep: bool) -> None:
        node = self.nodes[name]
        for token in list(node.held):
            if token not in node.running and not keep:
                del node.held[token]
        self.connect(name)

    @rule(
        kind=st.sampled_from([c.TargetKind.DEVICES, c.TargetKind.ANY, c.TargetKind.ALL]),
        workflow=st.sampled_from(["look", "tapping"]),
        serials=st.lists(st.sampled_from("abc"), min_size=1, max_size=3),
        priority=st.integers(0, 2),
        expires_in_s=st.sampled_from([None, 5.0, 500.0]),
    )
    def ask_for_a_run(
        self, kind: c.TargetKind, workflow: str, serials: list[str], priority: int, expires_in_s: float | None
    ) -> None:
        targets = c.Targets(kind=kind, serials=serials, count=len(serials))
        create = c.CreateRun(workflow=workflow, targets=targets, priority=priority, expires_in_s=expires_in_s)
        self._admin().ask(c.CREATE_RUN, create, key=None)
        self._pump_all()

    def _admin(self) -> FakeAdmin:
        if self.admin.link not in self.world.core.state.links:
            self.admin = FakeAdmin(self.world)
        return self.admin

    @precondition(lambda self: self.world.core.state.tasks)
    @rule(data=st.data(), whole_run=st.booleans())
    def cancel(self, data: st.DataObject, whole_run: bool) -> None:
        task = self.world.core.state.tasks[data.draw(st.sampled_from(sorted(self.world.core.state.tasks)))]
        if whole_run:
            self._admin().ask(c.CANCEL_RUN, c.CancelRun(run_id=task.run.row.run_id))
        else:
            self._admin().ask(c.CANCEL_TASK, c.CancelTask(task_id=task.task_id))
        self._pump_all()

    @rule(name=st.sampled_from(NODES), index=st.integers(0, 5), flush=st.booleans())
    def begin(self, name: str, index: int, flush: bool) -> None:
        node = self.nodes[name]
        waiting = [dispatch for token, dispatch in node.held.items() if token not in node.running]
        if waiting:
            node.begin(waiting[index % len(waiting)])
        if flush:
            self._flush(node)
        self._pump_all()

    @rule(
        name=st.sampled_from(NODES),
        index=st.integers(0, 5),
        outcome=st.sampled_from(list(Outcome)),
        error=st.sampled_from([None, *ErrorClass]),
        released=st.booleans(),
        repeatable=st.booleans(),
        flush=st.booleans(),
    )
    def end(
        self,
        name: str,
        index: int,
        outcome: Outcome,
        error: ErrorClass | None,
        released: bool,
        repeatable: bool,
        flush: bool,
    ) -> None:
        node = self.nodes[name]
        if node.held:
            dispatch = list(node.held.values())[index % len(node.held)]
            reason = failure(error) if error is not None else None
            node.end(dispatch, outcome, failure=reason, released=released, repeatable=repeatable)
        if flush:
            self._flush(node)
        self._pump_all()

    @rule(name=st.sampled_from(NODES), serial=st.sampled_from("abc"), gone=st.booleans())
    def device_comes_or_goes(self, name: str, serial: str, gone: bool) -> None:
        node = self.nodes[name]
        if gone:
            node.device_gone(serial)
        else:
            node.device(serial, tags=["lab"])
        self._flush(node)
        self._pump_all()

    @rule(name=st.sampled_from(NODES))
    def heartbeat(self, name: str) -> None:
        if self.connected[name]:
            self.nodes[name].heartbeat()
            self._pump_all()

    @rule(name=st.sampled_from(["a", "b", "n1"]), for_s=st.sampled_from([1.0, 30.0, None]))
    def quarantine_or_release(self, name: str, for_s: float | None) -> None:
        if name in NODES:
            out: c.QuarantineNode | c.QuarantineDevice = c.QuarantineNode(node_id=name, for_s=for_s)
            back: c.ReleaseNode | c.ReleaseDevice = c.ReleaseNode(node_id=name)
        else:
            out, back = c.QuarantineDevice(serial=name, for_s=for_s), c.ReleaseDevice(serial=name)
        kind = "node" if name in NODES else "device"
        if for_s is None:
            self._admin().ask(f"{kind}.release", back)
        else:
            self._admin().ask(f"{kind}.quarantine", out)
        self._pump_all()

    @rule(serial=st.sampled_from(["a", "b"]), for_s=st.sampled_from([1.0, 30.0, None]))
    def hold_or_give_back(self, serial: str, for_s: float | None) -> None:
        if for_s is None:
            self._admin().ask(holds.UNHOLD_DEVICE, holds.UnholdDevice(serial=serial))
        else:
            self._admin().ask(holds.HOLD_DEVICE, holds.HoldDevice(serial=serial, for_s=for_s))
        self._pump_all()

    @rule(seconds=st.sampled_from([0.5, 3.0, 20.0, 65.0, 800.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)
        self._pump_all()

    @rule()
    def broker_starts_again(self) -> None:
        self.world.restart()
        self.world.pass_time(0)  # a broker looks at once what is due
        self.connected = dict.fromkeys(NODES, False)
        self.admin = FakeAdmin(self.world)

    @invariant()
    def memory_is_what_the_store_has(self) -> None:
        self.world.check()

    @invariant()
    def nothing_is_held_twice(self) -> None:
        held = defaultdict(list)
        for task in self.world.core.state.tasks.values():
            if task.token is not None:
                held[task.token].append(task)
                assert task.node is not None
        assert all(len(tasks) == 1 for tasks in held.values())
        for device in self.world.core.state.devices.values():
            assert len({task.node for task in device.held.values()}) <= 1, "one holder a device"

    def teardown(self) -> None:
        """What is there ends, and every task ended exactly once."""
        self.world.pass_time(4000)
        for name, node in self.nodes.items():
            self.connect(name)
            for serial in DEVICES[name]:
                node.device(serial)
            self._flush(node)
        for _ in range(200):
            if not self.world.core.state.tasks:
                break
            for node in self.nodes.values():
                for dispatch in list(node.held.values()):
                    node.end(dispatch)
                self._flush(node)
            self._pump_all()
            self.world.pass_time(5)
            for node in self.nodes.values():
                node.heartbeat()
        self.world.check()
        assert not self.world.core.state.tasks, "everything ends"
        assert not self.world.core.state.runs
        ends = {state.value for state in TERMINAL}
        for task_id, row in self.world.tables.tasks.items():
            assert row.status.state.value in ends
            story = self.world.story(task_id)
            assert sum(word in _ENDS for word in story) == 1, story
        assert TASK_TABLE[TaskState.PASSED] == {}
        self._check_quarantines()

    def _check_quarantines(self) -> None:
        """What the log says: nothing was given to a device or node before the end of its term."""
        until: dict[str, int] = {}
        held: set[str] = set()
        for event in self.world.events():
            told = self.world.payload(event)
            if event.type in (topics.DEVICE_QUARANTINED, topics.NODE_QUARANTINED):
                until[event.subject] = told["untilMs"]
            elif event.type == topics.DEVICE_HELD:
                held.add(event.subject)
            elif event.type == topics.DEVICE_RELEASED and told.get("hold"):
                held.remove(event.subject)
            elif event.type in (topics.DEVICE_RELEASED, topics.NODE_RELEASED):
                until.pop(event.subject)
            elif event.type == topics.TASK_DISPATCHED:
                for subject in (f"device/{told['deviceSerial']}", f"node/{told['nodeId']}"):
                    assert event.occurred_at_ms >= until.get(subject, 0), f"{subject} was quarantined"
                    assert subject not in held, f"{subject} was reserved"


_ENDS = frozenset(
    {topics.TASK_COMPLETED, topics.TASK_FAILED, topics.TASK_CANCELLED, topics.TASK_EXPIRED, topics.TASK_UNKNOWN}
)

BrokerMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestBrokerMachine = BrokerMachine.TestCase
