"""taskiq on Redis Streams, which it acknowledges."""

import asyncio

from counting import URL, ran, submit_all_async
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(url=URL)


@broker.task(task_name="nothing")
async def nothing(body: str) -> None:
    """Do nothing."""
    ran()


async def main():
    """Submit."""
    await broker.startup()
    await submit_all_async(lambda: nothing.kiq("x" * 100))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
