"""One world from its first second to its verdict (steps 1-14)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

import msgspec

from doai.broker.core.effects import SendFrame
from doai.broker.core.tables import Task
from doai.changes.ops import PutKey
from doai.changes.rows import KeyRow
from doai.errors import DoaiError
from doai.ids import RandomIds
from doai.messages.link import Role
from doai.states import DeviceState, TaskState
from doai.store.memory import MemoryTables
from doai.store.memory_outbox import MemoryOutboxFile
from tests.sim.admin import AdminProcess
from tests.sim.bot_tasks import NAME as BUILDER
from tests.sim.bot_tasks import BotTasks
from tests.sim.bots import NAME as BOT
from tests.sim.bots import Bots
from tests.sim.broker import ADMIN, BrokerProcess
from tests.sim.campaigns import CHECKED_AFTER_S, all_are_quiet
from tests.sim.checks import Checks, check_nodes_at_end, check_open_tasks, compare_memory
from tests.sim.disks import BrokerDisk, NodeDisk
from tests.sim.faults import Nemesis
from tests.sim.finished import FinishedOperator
from tests.sim.janitor import Janitor, check_counts, was_removed
from tests.sim.ledger import Ledger
from tests.sim.letters import Letters, check_letters, poisoned_handler
from tests.sim.memo import recipes_read_once
from tests.sim.mix import has_bots
from tests.sim.network import Network
from tests.sim.newer import Newer
from tests.sim.node import NodeProcess
from tests.sim.operator import Operator
from tests.sim.pace import Pace, check_all_bounds
from tests.sim.phones import Phone
from tests.sim.plugins import Plugins
from tests.sim.queues import QueueOperator
from tests.sim.samples import NAME as WATCHER
from tests.sim.samples import Samples
from tests.sim.scenario import Scenario, bounds_of, draw_scenario
from tests.sim.stopwatch import TaskTimes
from tests.sim.strange import Strange
from tests.sim.workload import Steps, Workload
from tests.sim.world import Violation, World

CHECK_EVERY_S = 40.0
SERVED_AGAIN_S = 300.0
"""After the last fault an operator takes back into service what has left it, for so long."""
SETTLE_S = 21_600.0
"""After the last fault, at most: past leases, retries, and a backlog of 300 tasks of a minute on one phone."""
PAST_ALL_S = 200.0
"""And then past every reaper once more."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one seed came to."""

    seed: int
    kind: str = ""
    """Empty = all held."""
    message: str = ""
    subject: str = ""
    story: list[str] = []
    faults: dict[str, int]
    tasks: int
    times: TaskTimes
    """Of those tasks that began."""
    simulated_s: float
    tries: int = 0
    held: list[str] = []
    """Why tasks stay open, in words."""


class Simulation:
    """Everything of one seed."""

    def __init__(
        self, seed: int, *, folder: Path | None = None, scale: float = 1.0, only: Set[str] | None = None
    ) -> None:
        self.seed = seed
        self.world = World(seed)
        random = self.world.random
        self.scenario: Scenario = draw_scenario(random, scale=scale, only=only, has_bots=has_bots(seed))
        self.ids = RandomIds(self.world.random.getrandbits)
        scenario, world = self.scenario, self.world
        self.network = Network(
            world,
            drop_share=scenario.drop_share,
            repeat_share=scenario.repeat_share,
            latency_s=scenario.latency_s,
        )
        self._folder = folder if scenario.real_files else None
        disk = BrokerDisk(world, self.ids.new_id(0), self._folder)
        names = {f"n{number}" for number in range(scenario.nodes)}
        self.ledger = Ledger(world, lambda: disk.tables, names)
        self.checks = Checks(self.ledger)
        disk.observers.append(self.ledger.observe)
        self.broker = BrokerProcess(world, self.network, disk, scenario.settings, self._broker_sends)
        self.pace = Pace()
        self.broker.decided = self.pace.decided
        self.steps = Steps(world, scenario)
        self.phones: dict[str, Phone] = {}
        self.nodes = [self._make_node(name) for name in sorted(names)]
        self.clones: list[NodeProcess] = []
        self._backup: tuple[MemoryTables, dict[str, Any], float] | None = None
        self._mended_s = 0.0
        self.restored_s = 0.0
        """When a backup that was put in place had been made and when that was; 0 = never."""
        self.forgotten_from_s = 0.0
        self._prepare_keys()
        self.admin = AdminProcess(world, self.network, ADMIN, Role.ADMIN)
        self.robot = AdminProcess(world, self.network, "robot", Role.BOT)
        self.strange = Strange(self, self.robot)
        self.operator = Operator(self)
        self.letters = Letters(world, self.admin, lambda: disk.tables)
        self.workload = Workload(world, scenario, self.admin, sorted(self.phones), self._open_tasks)
        self.janitor = Janitor(self, seed)
        FinishedOperator(self, seed)
        self.queue_operator = QueueOperator(world, self.admin)
        self.bots = Bots(self, seed)
        self.samples = Samples(self, seed)
        self.bot_tasks = BotTasks(self, seed)
        self.plugins = Plugins(self, seed)
        self.newer = Newer(self, seed)
        self.nemesis: Nemesis

    def _broker_sends(self, broker: BrokerProcess, effect: SendFrame) -> None:
        self.checks.broker_sends(broker, effect)
        if self.bots.is_there:
            self.bots.sent(effect)
        if self.bot_tasks.is_there:
            self.bot_tasks.sent(effect)

    def _open_tasks(self) -> int:
        """How many could run, had they a phone."""
        core = self.broker.core
        if core is None:
            return self.scenario.tasks
        return sum(not _held_up(task) for task in core.state.tasks.values())

    def _make_node(self, name: str) -> NodeProcess:
        world, scenario = self.world, self.scenario
        path = self._folder / f"{name}.db" if self._folder is not None else None
        disk = NodeDisk(world, MemoryOutboxFile(self.ids.new_id(0)), path)
        tags = ["shelf"] if world.chance(0.7) else []
        node = NodeProcess(
            world,
            self.network,
            name,
            disk,
            slots=scenario.slots,
            tags=tags,
            draw=self.steps.draw,
            watch=self.checks.node_effect,
            sample=lambda node, serial: self.samples.read(node, serial),
        )
        disk.observers.append(lambda ops: self.checks.node_landed(node, ops))
        for number in range(scenario.phones):
            serial = f"{name}-{number}"
            phone = Phone(world, serial, world.random.choice(("P7", "A5")), world.random.choice((28, 30, 33)))
            self.phones[serial] = node.phones[serial] = phone
        return node

    def _prepare_keys(self) -> None:
        rows = [("robot", "bot", "r" * 40), ("stranger", "node", "s" * 40), (BOT, "bot", "b" * 40)]
        rows += [(WATCHER, "bot", "w" * 40), (BUILDER, "bot", "t" * 40)]
        rows += [(node.name, "node", node.key) for node in self.nodes]
        self.broker.disk.open()
        for name, role, key in rows:
            row = KeyRow(
                name=name, role=role, public_key=key, secret_sha256="", created_at_ms=0, created_by="simulation"
            )
            self.broker.disk.commit([PutKey(row)])
        self.broker.disk.close()

    # --- running ------------------------------------------------------------------------------------------

    def run(self) -> Verdict:
        """Run to the end; never raises for what the product does."""
        kind, message, subject, held = "", "", "", []
        with bounds_of(self.scenario), recipes_read_once(), poisoned_handler():
            try:
                held = self._run()
            except Violation as error:
                kind, message, subject = error.kind, str(error), error.subject
            except (
                DoaiError,
                AssertionError,
                KeyError,
                ValueError,
                TypeError,
                AttributeError,
                IndexError,
            ) as error:
                kind, message = f"raised_{type(error).__name__}", f"{type(error).__name__}: {error}"
            finally:
                self._close()
        return Verdict(
            seed=self.seed,
            kind=kind,
            message=message,
            subject=subject,
            story=[*self.story(subject), f"{self.world.now_s:9.2f} {kind}: {message}"] if kind else [],
            faults=dict(self.world.faults),
            tasks=self.ledger.ended,
            times=self.world.stopwatch.times,
            simulated_s=self.world.now_s,
            tries=self.checks.tries,
            held=held,
        )

    def _run(self) -> list[str]:
        world, scenario = self.world, self.scenario
        self.broker.start()
        for node in self.nodes:
            world.after(world.random.uniform(0.0, 2.0), node.start)
        world.after(world.random.uniform(10.0, 60.0), self._make_backup)
        world.after(CHECK_EVERY_S, self._look)
        world.run(8.0)
        self.nemesis = Nemesis(self, self.strange)
        world.run(8.0 + scenario.work_s)
        self._mend()
        world.run(world.now_s + SETTLE_S, self._settled)
        world.run(world.now_s + PAST_ALL_S)
        return self._judge()

    def _mend(self) -> None:
        """Faults stop: whoever is gone comes back."""
        world = self.world
        world.notes.append((world.now_s, "faults stop"))
        self._mended_s = world.now_s
        self.nemesis.stop()
        self.steps.calm = True
        self.network.heal_all()
        for clone in self.clones:
            clone.kill()
        self.clones.clear()
        self.broker.disk.pace.slow_until_s = 0.0
        self.workload.campaigns.zones_back()
        self._operator()
        self.operator.settle()
        self.samples.settle()
        self.bots.settle()
        self.bot_tasks.settle()
        self.plugins.settle()
        self.newer.settle()
        self.strange.close()
        self.queue_operator.resume_all()
        for phone in self.phones.values():
            self.nemesis.mend(phone)

    def _operator(self) -> None:
        """An operator looks after what stands still, until the end."""
        self.broker.start()
        self.broker.thaw()
        for node in self.nodes:
            node.disk.pace.slow_until_s = 0.0
            node.thaw()
            node.start()
        if self.admin.fenced:
            self.admin.restart()
        if self.world.now_s < self._mended_s + SERVED_AGAIN_S and not self.admin.waiting:
            self.strange.release_all()
        self.bots.restart_fenced()
        self.bot_tasks.look_after()
        if self.world.now_s >= self._mended_s + CHECKED_AFTER_S:
            self.janitor.stop()
        if self.janitor.stopped and self.broker.core is not None:
            self.workload.campaigns.end(self.broker.core, self.broker.clock.now().utc_ms)
        self.world.after(10.0, self._operator)

    def _settled(self) -> bool:
        core = self.broker.core
        if core is None or not self.workload.asked_all or not self.broker.commits.idle:
            return False
        if any(task.state is not TaskState.QUEUED for task in core.state.tasks.values()):
            return False
        if not all_are_quiet(core) or not self.bots.quiet() or not self.bot_tasks.quiet():
            return False
        if any(node.core is None or not node.commits.idle or node.disk.file.facts for node in self.nodes):
            return False
        if not core.state.tasks:
            return True
        # What waits for a phone that never comes back waits for ever, once everything else has ended.
        if not all(node.ready for node in core.state.nodes.values() if node.name in self.ledger.node_names):
            return False
        return all(
            (_held_up(task) or task.device is None or not task.device.held)
            and (task.device is None or _held_up(task) or self.phones[task.device.serial].gone_for_good)
            for task in core.state.tasks.values()
        )

    def _look(self) -> None:
        if self.broker.core is not None:
            check_all_bounds(self.broker.core)
        if self.broker.core is not None and self.broker.commits.idle:
            compare_memory(self.broker.core, self.broker.disk.tables)
            self._check_letters()
        for node in self.nodes:
            if node.core is not None and node.core._tasks.running > self.scenario.slots:
                raise Violation("bounds", f"{node.name} runs {node.core._tasks.running} tasks", node.name)
        self.world.after(CHECK_EVERY_S, self._look)

    def _check_letters(self) -> None:
        check_letters(self.broker.disk.tables, self.letters.poison, exactly=not self.restored_s)

    def _judge(self) -> list[str]:
        self.world.faults.update(self.ledger.campaigns.counts)
        core = self.broker.core
        assert core is not None
        deadline_s = self.world.now_s + 60.0
        self.world.run(deadline_s, lambda: self.broker.commits.idle)
        compare_memory(core, self.broker.disk.tables)
        self._check_letters()
        reasons = check_open_tasks(core, patient=False)
        check_nodes_at_end(self.nodes, self.ledger)
        for serial, device in core.state.devices.items():
            phone = self.phones.get(serial)
            if phone is None:
                continue
            if phone.state is DeviceState.ONLINE and device.state is not DeviceState.ONLINE:
                raise Violation(
                    "device_stale", f"{serial} works, the broker has it as {device.state.value}", serial
                )
        if self.ledger.held_for:
            raise Violation("hold", f"{sorted(self.ledger.held_for)} are held long after the end of it")
        tables = self.broker.disk.tables
        stored_of = Counter(task.run_id for task in tables.tasks.values())
        stored_of.update(
            track.run_id for task_id, track in self.ledger.tasks.items() if was_removed(tables, "task", task_id)
        )
        for run_id, (answered_s, tasks) in self.workload.acknowledged.items():
            row = tables.runs.get(run_id)
            if row is None:
                if was_removed(tables, "run", run_id):
                    continue
                if self.forgotten_from_s <= answered_s <= self.restored_s:
                    continue
                raise Violation("ack_lost", f"run {run_id} was acknowledged and is not stored", run_id)
            stored = stored_of[run_id]
            if stored != row.tasks or (tasks and tasks != stored):
                raise Violation("ack_lost", f"run {run_id} has {stored} of {row.tasks} tasks", run_id)
        check_counts(self)
        self.world.run(self.world.now_s + 60.0, self.bots.quiet)
        self.bots.check_at_end()
        self.samples.check_at_end()
        self.bot_tasks.check_at_end()
        if not self.workload.asked_all:
            raise Violation("unanswered", f"{self.admin.waiting} commands were never answered")
        if len(core.state.deadlines) > 12 * (len(self.ledger.tasks) + 1):
            raise Violation("bounds", f"{len(core.state.deadlines)} deadlines are kept")
        return reasons

    # --- deeds of the nemesis that need all of it ---------------------------------------------------------

    def _make_backup(self) -> None:
        if self._folder is None and "broker_restore" in self.scenario.faults:
            self._backup = (self.broker.disk.backup(), self.ledger.copy(), self.world.now_s)

    def restore_broker(self) -> bool:
        """An operator puts the backup in place."""
        if self._backup is None or not self.broker.alive:
            return False
        tables, ledger, made_s = self._backup
        self._backup = None
        self.broker.kill()
        self.ledger.loose.update(node.name for node in self.nodes)
        self.broker.disk.restore(tables, self.ids.new_id(0))
        self.ledger.become(ledger)
        self.bots.forgotten()
        self.forgotten_from_s, self.restored_s = made_s, self.world.now_s
        self.world.after(1.0, self.broker.start)
        self.world.after(3.0, self.workload.again)
        self.world.after(3.0, self.queue_operator.make)
        return True

    def clone(self, node: NodeProcess) -> None:
        """A copy of the node's disk starts on another host, where its phones are not plugged in."""
        self.ledger.forked.add(node.name)
        disk = NodeDisk(self.world, node.disk.file.copy(), None)
        disk.history = list(node.disk.history)
        clone = NodeProcess(
            self.world,
            self.network,
            node.name,
            disk,
            slots=self.scenario.slots,
            tags=[],
            draw=self.steps.draw,
            watch=self.checks.node_effect,
            sample=self.samples.read,
        )
        clone.is_clone = True
        disk.observers.append(lambda ops: self.checks.node_landed(clone, ops))
        self.clones.append(clone)
        clone.start()
        self.world.after(self.world.random.uniform(20.0, 90.0), clone.kill)

    def cut_commands(self, phone: Phone, node: NodeProcess) -> None:
        """The phone was pulled out of this host."""
        if node.core is not None:
            node.runner.cut(phone)

    # --- the story ----------------------------------------------------------------------------------------

    def story(self, subject: str) -> list[str]:
        """Tell what happened to what broke, in order, with what was done to the world meanwhile."""
        from tests.sim.tale import tell

        return tell(self, subject)

    def _close(self) -> None:
        self.workload.campaigns.zones_back()
        for process in (self.broker, *self.nodes, *self.clones):
            if process.core is not None:
                process.commits.close()


def _held_up(task: Task) -> bool:
    """Whether its run lets it go only when others have ended."""
    return task.run.gate is not None and not task.run.gate.lets(task)


def simulate(
    seed: int,
    *,
    folder: Path | None = None,
    scale: float = 1.0,
    only: Set[str] | None = None,
    change: Callable[[Simulation], None] | None = None,
) -> Verdict:
    """Run one seed; ``change`` may alter the world before it begins."""
    simulation = Simulation(seed, folder=folder, scale=scale, only=only)
    if change is not None:
        change(simulation)
    return simulation.run()
