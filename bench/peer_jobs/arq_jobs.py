"""arq on Redis."""

import asyncio

from arq import create_pool
from arq.connections import RedisSettings
from counting import URL, ran, submit_all_async


async def nothing(ctx, body):
    """Do nothing."""
    ran()


class WorkerSettings:
    """What arq's command reads."""

    functions = [nothing]
    redis_settings = RedisSettings.from_dsn(URL)
    max_jobs = 100
    poll_delay = 0.01
    keep_result = 0


async def main():
    """Submit."""
    pool = await create_pool(WorkerSettings.redis_settings)
    await submit_all_async(lambda: pool.enqueue_job("nothing", "x" * 100))


if __name__ == "__main__":
    asyncio.run(main())
