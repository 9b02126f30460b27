"""The same no-op job on other queues; each module runs in an environment of its own (`bin/bench peers --install`).

A module is a worker, started by its own library, and a producer: `python NAME_jobs.py JOBS WINDOW` submits so many
jobs, never more of them unfinished than the window, and prints the seconds from the first to the last end.
"""
