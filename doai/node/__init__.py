"""The node agent: one a host, holds about a hundred devices, executes tasks in slots (steps 6-11)."""
