"""How a job says that it ran: one byte into a FIFO, which costs a worker some 2 us and the queue nothing.

Serves the modules beside it, which import it as a top-level module from their own folder.
"""

import os
import select
import sys
import time

URL = os.environ.get("DOAI_BENCH_REDIS", "redis://127.0.0.1:6379/0")
FIFO = os.environ.get("DOAI_BENCH_FIFO", "")
WITHIN_S = 60.0
_write = -1


def ran():
    """Say that a job ran."""
    global _write
    if _write < 0:
        _write = os.open(FIFO, os.O_WRONLY)
    os.write(_write, b".")


class Ended:
    """Counts the jobs that ran."""

    def __init__(self):
        self.count = 0
        self._read = os.open(FIFO, os.O_RDONLY | os.O_NONBLOCK)
        self._keep = os.open(FIFO, os.O_WRONLY)  # or a worker that closes would end the FIFO

    def wait(self, wanted):
        """Return once so many have run in all; raises TimeoutError."""
        while self.count < wanted:
            ready, _, _ = select.select([self._read], [], [], WITHIN_S)
            if not ready:
                raise TimeoutError(f"{self.count} of {wanted} jobs ran")
            self.count += len(os.read(self._read, 65536))

    def look(self):
        """Take what is there."""
        if select.select([self._read], [], [], 0)[0]:
            self.count += len(os.read(self._read, 65536))


def arguments():
    """Return jobs and window of the command line."""
    return int(sys.argv[1]), int(sys.argv[2])


def submit_all(submit):
    """Warm up with one job, then submit all within the window; print the seconds."""
    jobs, window = arguments()
    ended = Ended()
    submit()
    ended.wait(1)
    began = time.perf_counter()
    for number in range(jobs):
        if number + 1 - ended.count >= window:
            ended.wait(number + 2 - window)
        submit()
    ended.wait(jobs + 1)
    print(time.perf_counter() - began)


async def submit_all_async(submit):
    """The same for a coroutine function."""
    jobs, window = arguments()
    ended = Ended()
    await submit()
    ended.wait(1)
    began = time.perf_counter()
    for number in range(jobs):
        if number + 1 - ended.count >= window:
            ended.wait(number + 2 - window)
        await submit()
    ended.wait(jobs + 1)
    print(time.perf_counter() - began)
