"""Chaos: a real fleet under seeded kills, freezes, cut links and full disks, reconciled at the end (all steps)."""
