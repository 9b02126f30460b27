"""Cuts the power again and again and looks at what the next start finds.

A chain is a file through one to three lives: open it (which creates or migrates), commit, checkpoint, close; at
one random operation of one of these the power goes, and the next life begins with what the disk kept.
After each cut, in every chain:

    the file opens, `PRAGMA integrity_check` says ok, and all that it holds equals the memory twin after
    commit n, where  last acknowledged commit <= n <= last begun commit.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec

from doai.store import database
from doai.store.sql_files import Migration, load_migrations
from tests.power.disk import Disk, write_files
from tests.power.subjects import Opened, Subject, Twin, database_of
from tests.power.vfs import PowerCutVfs

FILE = "file.db"
LIVES_MAX = 3
COMMITS_MAX = 24
PHASES = ("open", "commit", "commit", "checkpoint", "close", "migrate")
OPERATIONS_MAX = {"open": 24, "commit": 90, "checkpoint": 40, "close": 40, "migrate": 40}
"""The power goes at an operation up to this of the phase, or at the phase's end when it has fewer."""


class Report(msgspec.Struct, kw_only=True):
    """What a campaign found."""

    subject: str
    synchronous: str
    cuts: int = 0
    inside: int = 0
    """Cuts within an operation of the phase; the others fell between two."""
    lost: int = 0
    """Cuts after which an acknowledged commit was not there."""
    corrupt: int = 0
    """Cuts after which the file did not open, or was damaged."""
    other: int = 0
    """Cuts after which the file held what was never its state."""
    commits: int = 0
    phases: Counter[str] = msgspec.field(default_factory=Counter)
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    first_bad: str = ""

    def bad(self, kind: str, text: str) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        self.first_bad = self.first_bad or f"{kind}: {text}"


class Cut(Exception):
    """The power went, here."""


class Chain:
    """One file from its creation on."""

    def __init__(self, subject: Subject, rng: random.Random, report: Report, folder: Path, vfs_name: str) -> None:
        self._subject = subject
        self._rng = rng
        self._report = report
        self._folder = folder
        self._vfs_name = vfs_name
        # The product creates the file durably before SQLite sees it; SQLite alone does not, and must do as well.
        self._files: dict[str, bytes] = {FILE: b""} if rng.random() < 0.5 else {}
        self._units: list[list[Any]] = []
        self._acknowledged = -1
        """Commits that must be there; -1: not even the creation was acknowledged."""
        self._migrations = 0
        """Further migrations this chain has begun."""

    def run(self, cuts_left: int) -> int:
        """Live and be cut; returns the number of cuts."""
        lives = min(cuts_left, self._rng.randint(1, LIVES_MAX))
        for life in range(1, lives + 1):
            with self._migrated():
                self._live(life)
            if not self._is_sound(life):
                return life
        return lives

    def _live(self, life: int) -> None:
        phase = self._rng.choice(PHASES)
        self._report.phases[phase] += 1
        self._report.cuts += 1
        disk = Disk(self._files)
        folder = self._folder / f"life{life}"
        folder.mkdir()
        write_files(folder, self._files)
        vfs = PowerCutVfs(self._vfs_name, disk)
        try:
            self._use(folder / FILE, disk, phase)
        except Cut:
            self._report.inside += 1
        finally:
            vfs.unregister()
        disk.cut()
        self._files = disk.after_cut(self._rng)
        self._report.faults.update(disk.faults)

    def _use(self, path: Path, disk: Disk, phase: str) -> None:
        at = self._rng.randint(1, OPERATIONS_MAX[phase])
        twin = self._twin(len(self._units))
        with self._opened(path, disk, at if phase == "open" else 0) as opened:
            if phase == "open":
                return
            if phase == "commit":
                disk.cut_in(at)
            for _ in range(self._rng.randint(2, COMMITS_MAX)):
                self._commit(opened, twin, disk)
                if phase == "commit" and self._rng.random() < 0.1:
                    self._or_cut(opened.checkpoint, disk)
            if phase == "commit":
                return
            if phase == "checkpoint":
                disk.cut_in(at)
                self._or_cut(opened.checkpoint, disk)
                self._commit(opened, twin, disk)
                return
            if phase == "close":
                disk.cut_in(at)
            self._or_cut(opened.close, disk)
        if phase == "migrate":
            self._migrations += 1
            with self._migrated(), self._opened(path, disk, at) as opened:
                self._commit(opened, twin, disk)

    @contextmanager
    def _opened(self, path: Path, disk: Disk, cut_at: int) -> Iterator[Opened]:
        if cut_at:
            disk.cut_in(cut_at)
        opened = self._subject.open(path, self._vfs_name)
        try:
            if disk.is_cut:
                raise Cut
            self._acknowledged = max(self._acknowledged, 0)
            pragma = f"PRAGMA synchronous = {self._report.synchronous}"
            database_of(opened).query(pragma)
            yield opened
        finally:
            disk.cut()  # the end of this life: what closing writes is none of it
            opened.close()

    def _commit(self, opened: Any, twin: Twin, disk: Disk) -> None:
        unit = twin.draw(self._rng)
        twin.commit(unit)
        self._units.append(unit)
        self._or_cut(lambda: opened.commit(unit), disk)
        self._report.commits += 1
        self._acknowledged = len(self._units)

    def _or_cut(self, work: Callable[[], Any], disk: Disk) -> Any:
        result = work()
        if disk.is_cut:
            raise Cut
        return result

    def _is_sound(self, life: int) -> bool:
        """Look at what is left, without the VFS; the chain goes on from there."""
        folder = self._folder / f"after{life}"
        folder.mkdir()
        write_files(folder, self._files)
        try:
            with self._migrated(), closing(self._subject.open(folder / FILE, None, "other")) as opened:
                [[answer]] = database_of(opened).query("PRAGMA integrity_check(1)")
                state = self._subject.state(opened)
        except Exception as error:  # whatever it is: this file can not be started from
            self._report.bad("corrupt", f"{type(error).__name__}: {error}")
            return False
        if answer != "ok":
            self._report.bad("corrupt", f"integrity_check: {answer!r}")
            return False
        return self._is_known(state)

    def _is_known(self, state: Any) -> bool:
        for n in range(len(self._units), -1, -1):
            if self._twin(n).state() != state:
                continue
            if n < self._acknowledged:
                self._report.bad("lost", f"commit {self._acknowledged} was acknowledged, the file is as after {n}")
                return False
            del self._units[n:]
            self._acknowledged = n
            return True
        identity = state[0].store_id if hasattr(state[0], "generation") else state[0].incarnation
        if identity == "other":  # nothing was left: it was created anew
            if self._acknowledged >= 0:
                self._report.bad("lost", f"commit {self._acknowledged} was acknowledged, the file is empty")
                return False
            return False  # no more to learn from this chain
        self._report.bad("other", f"it is as after none of {len(self._units)} commits")
        return False

    def _twin(self, commits: int) -> Twin:
        twin = self._subject.twin()
        for unit in self._units[:commits]:
            twin.commit(unit)
        return twin

    @contextmanager
    def _migrated(self) -> Iterator[None]:
        """Let the file's schema be as many versions newer as this chain has begun."""
        copies = [_copy_table(n) for n in range(1, self._migrations + 1)]

        def with_more(folder: str) -> list[Migration]:
            known = load_migrations(folder)
            return known + [
                Migration(len(known) + n, f"more_{n}.sql", script) for n, script in enumerate(copies, 1)
            ]

        with patch.object(database, "load_migrations", with_more):
            yield


def _copy_table(n: int) -> str:
    # Rewrites a lot, as a migration may: a copy with an index of everything the schema table and one table hold.
    return (
        f"CREATE TABLE copy_{n} AS SELECT * FROM sqlite_master, (SELECT randomblob(900) AS filler FROM "
        f"(VALUES (1), (2), (3), (4))); CREATE INDEX copy_{n}_name ON copy_{n} (name, sql)"
    )


def run_campaign(subject: Subject, *, cuts: int, seed: int, synchronous: str = "FULL") -> Report:
    """Cut the power ``cuts`` times; chain k draws from seed/k alone."""
    report = Report(subject=subject.name, synchronous=synchronous)
    chain = 0
    while report.cuts < cuts:
        chain += 1
        rng = random.Random(f"{subject.name}/{seed}/{chain}")
        with tempfile.TemporaryDirectory() as folder:
            Chain(subject, rng, report, Path(folder), f"powercut{seed}").run(cuts - report.cuts)
    return report


def table(reports: Sequence[Report]) -> str:
    """Return the reports as lines for a person."""
    head = ("file", "synchronous", "cuts", "inside", "commits", "lost", "corrupt", "other")
    lines = [f"{head[0]:<16}{head[1]:<13}" + "".join(f"{name:>9}" for name in head[2:])]
    for r in reports:
        numbers = (r.cuts, r.inside, r.commits, r.lost, r.corrupt, r.other)
        lines.append(f"{r.subject:<16}{r.synchronous:<13}" + "".join(f"{number:>9}" for number in numbers))
    faults: Counter[str] = Counter()
    phases: Counter[str] = Counter()
    for r in reports:
        faults.update(r.faults)
        phases.update(r.phases)
    lines.append("cuts during: " + ", ".join(f"{name} {count}" for name, count in sorted(phases.items())))
    lines.append("what the disk did: " + ", ".join(f"{name} {count}" for name, count in sorted(faults.items())))
    return "\n".join(lines)
