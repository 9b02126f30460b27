"""Power cuts for the broker's store and the node's outbox: `python -m tests.power`."""
