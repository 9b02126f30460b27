"""Raw Redis Streams: XADD, XREADGROUP, result and XACK, all in pipelines: the floor of a queue on this server.

`worker` as the argument makes it the worker.
"""

import sys
import time

import redis
from counting import URL, arguments

GROUP, JOBS, DONE = "workers", "jobs", "done"
BATCH = 100


def work(client):
    """Take jobs, write a result each, acknowledge."""
    while True:
        taken = client.xreadgroup(GROUP, "w1", {JOBS: ">"}, count=BATCH, block=1000)
        for _, jobs in taken or []:
            pipe = client.pipeline(transaction=False)
            for job_id, fields in jobs:
                pipe.xadd(DONE, {"job": job_id, "result": fields[b"body"]})
            pipe.xack(JOBS, GROUP, *[job_id for job_id, _ in jobs])
            pipe.xdel(JOBS, *[job_id for job_id, _ in jobs])
            pipe.execute()


def produce(client):
    """Keep the window full; a job is over when its result is in the stream of results."""
    jobs, window = arguments()
    sent = done = 0
    last, body = "0", b"x" * 100
    began = time.perf_counter()
    while done < jobs:
        more = min(window - (sent - done), jobs - sent, BATCH)
        if more > 0:
            pipe = client.pipeline(transaction=False)
            for _ in range(more):
                pipe.xadd(JOBS, {"body": body})
            pipe.execute()
            sent += more
        block = 1000 if sent == jobs or sent - done >= window else None
        read = client.xread({DONE: last}, count=1000, block=block)
        for _, results in read or []:
            done += len(results)
            last = results[-1][0]
    print(time.perf_counter() - began)


if __name__ == "__main__":
    connection = redis.Redis.from_url(URL)
    if sys.argv[1] == "worker":
        connection.xgroup_create(JOBS, GROUP, id="0", mkstream=True)
        work(connection)
    produce(connection)
