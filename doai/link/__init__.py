"""The link, sans-IO: how facts travel from a peer to the broker exactly once, and who is alive (step 11).

- `actions`: what the peer's end wants done, as data.
- `past`: whether the facts that the broker took are those of an outbox, or those of a copy of it.
- `outgoing`: the peer's end of the stream: greeting, sending within credit, acks, new connections.
- `incoming`: the broker's end: what is next, what was there before, what is a gap or a clone.
- `liveness`: online, late or offline, by the age of the last proof.

Both ends take events with the time passed in and return what to do as data. What follows from it is
in docs/explanation/guarantees.md.
"""
