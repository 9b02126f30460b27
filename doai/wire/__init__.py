"""Frames between processes over ZeroMQ: the only package that imports zmq (steps 1, 5, 11).

Read `base` (what everybody may use), then `router` and `dealer` (trio), `aio` (the admin's asyncio dealer) and
`memory` (the twin for tests). `keys` makes CURVE key pairs, `zap` lets known keys in and nobody else,
`sockets` sets every option in one place, `readiness` waits without losing a wake-up.

A frame leaves a dealer as two parts, header (32 bytes) and body; a router sees the routing id before them.
A frame that was sent is not a frame that arrived: who needs that waits for the other side's acknowledgement.
"""
