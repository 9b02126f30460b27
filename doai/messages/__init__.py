"""What peers say to each other: bodies of control frames, payloads of commands and of events.

- `link`: bodies of the frames that carry the link itself (HELLO, WELCOME, RECORDS ...).
- `work`: bodies that move tasks between broker and node (DISPATCH, CANCEL, HOLDINGS ...).
- `commands`: payloads of commands and their answers.
- `events`: payloads of events.
- `logs`, `samples`, `bots`, `people` and others: one module a noun, bodies and payloads of it.
- `catalogue`: every type with its payload; `proto/` is generated from it.
"""
