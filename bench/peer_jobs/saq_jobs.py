"""SAQ on Redis."""

import asyncio

from counting import URL, ran, submit_all_async
from saq import Queue

queue = Queue.from_url(URL)


async def nothing(ctx, *, body):
    """Do nothing."""
    ran()


settings = {"queue": queue, "functions": [nothing], "concurrency": 20}


async def main():
    """Submit."""
    await queue.connect()
    await submit_all_async(lambda: queue.enqueue("nothing", body="x" * 100))
    await queue.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
