"""What is learnt from the waits of commits: when a thread pays, and how the loop is found quick again."""

from __future__ import annotations

from doai.limits import COMMIT_INLINE_S
from doai.store.disk_wait import DiskWait, Spent, spent

WORK_S = 0.003


class Machine:
    """Commits take WORK_S of work and what is said here; a look costs nothing."""

    def __init__(self) -> None:
        self.now = Spent(0.0, 0.0, 0.0)
        self.disk = DiskWait(lambda: self.now)

    def commit(self, wait_s: float, queued_s: float = 0.0, times: int = 1) -> DiskWait:
        def work() -> None:
            now = self.now
            took_s = WORK_S + wait_s + queued_s
            self.now = Spent(now.all_s + took_s, now.worked_s + WORK_S, now.queued_s + queued_s)

        for _ in range(times):
            self.disk.run(work)
        return self.disk


def waited(wait_s: float) -> DiskWait:
    """Return what was learnt of commits that waited so long."""
    return Machine().commit(wait_s, times=32)


def test_a_thread_pays_when_the_disk_is_slow() -> None:
    assert waited(COMMIT_INLINE_S).is_worth_a_thread(more_waits=False)
    assert not waited(COMMIT_INLINE_S / 2).is_worth_a_thread(more_waits=False)


def test_beside_other_work_a_thread_pays_when_the_wait_is_a_good_part_of_the_commit() -> None:
    assert waited(0.0009).is_worth_a_thread(more_waits=True)
    assert not waited(0.0005).is_worth_a_thread(more_waits=True)


def test_waits_for_the_processor_say_nothing_of_the_disk() -> None:
    assert not Machine().commit(0.0001, queued_s=0.05, times=32).is_worth_a_thread(more_waits=True)


def test_what_the_system_tells_only_grows() -> None:
    before, after = spent(), spent()
    assert after.all_s >= before.all_s
    assert after.worked_s >= before.worked_s
    assert after.queued_s >= before.queued_s


def test_a_disk_that_is_quick_again_is_found_by_probes() -> None:
    machine = Machine()
    disk = machine.commit(0.02, times=32)
    commits = probes = 0
    while disk.wait_s >= COMMIT_INLINE_S:
        if not disk.is_worth_a_thread(more_waits=True):
            machine.commit(0.0001)
            probes += 1
        commits += 1
    assert (probes, commits) == (5, 5 * 64)
