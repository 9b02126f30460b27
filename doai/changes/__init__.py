"""What the cores want durably changed, as data; the contract between cores and store (steps 3 and 10).

- `rows`: rows of the broker's store. `ops`: changes of it, and the snapshot the broker starts from.
- `outbox`: changes of a node's own file, and its state as loaded.

Cores make these and never see a database; `doai.store` writes them.
"""
