"""Hostile peers against a running broker: `python -m tests.fuzz` measures what the others notice."""
