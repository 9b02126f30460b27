"""Plug-ins: steps, drivers and bots that are found by a manifest, without a change to doai (steps 2, 8, 9, 14)."""
