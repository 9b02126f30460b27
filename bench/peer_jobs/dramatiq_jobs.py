"""Dramatiq on Redis."""

import dramatiq
from counting import URL, ran, submit_all
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=URL))


@dramatiq.actor(max_retries=0)
def nothing(body):
    """Do nothing."""
    ran()


if __name__ == "__main__":
    submit_all(lambda: nothing.send("x" * 100))
