"""Celery on Redis: late acks, no results."""

from celery import Celery
from counting import URL, ran, submit_all

app = Celery("celery_jobs", broker=URL)
app.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=64)


@app.task
def nothing(body):
    """Do nothing."""
    ran()


if __name__ == "__main__":
    submit_all(lambda: nothing.delay("x" * 100))
