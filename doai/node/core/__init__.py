"""What a node decides, without input or output (steps 6-11).

Read in this order: `core` (events in, changes out), `session` (the broker's frames), `tasks` (what is held),
`attempt` and `sequence` (one attempt and the order of its steps); below them `acts`, `effects`, `facts`,
`recipes`, `devices`, `queue`, `slots`, `timers`.
"""
