"""Procrastinate on PostgreSQL; `prepare` as the argument makes its tables, `worker` works."""

import asyncio
import os
import sys

from counting import ran, submit_all_async
from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector(conninfo=os.environ["DOAI_BENCH_POSTGRES"]))


@app.task(name="nothing")
async def nothing(body):
    """Do nothing."""
    ran()


async def main():
    """Make the tables, work, or submit."""
    async with app.open_async():
        if sys.argv[1] == "prepare":
            await app.schema_manager.apply_schema_async()
        elif sys.argv[1] == "worker":
            await app.run_worker_async(concurrency=20, fetch_job_polling_interval=0.05, delete_jobs="always")
        else:
            await submit_all_async(lambda: nothing.defer_async(body="x" * 100))


if __name__ == "__main__":
    asyncio.run(main())
