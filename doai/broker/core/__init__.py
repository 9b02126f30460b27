"""The broker's core, sans-IO: events in, changes out (steps 2-5, 12 and 13).

Read in this order: `core` (the facade), `ingress` (what a frame is), `peers` and `devices`, `commands`
and `runs` (what is asked for), `scheduler` (what goes where), `results` (what came of it), `leases` (what is not
heard of any more), `health` and `quarantine` (what fails again and again). `tables` is what they share; a
`Decision` gathers what one event changes.

Every module takes the `Decision` it adds to; nothing here imports a socket, a database, a clock or randomness.
"""
