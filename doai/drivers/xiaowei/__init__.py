"""The xiaowei driver: phones that a vendor's screen-casting program holds, over its WebSocket (step 9).

The vendor's answers carry no request id, and "success" does not prove an effect. So one request is in flight on a
connection, a command's output travels with a mark of its own and its exit code, a file is read back, and whatever
can not be seen to have ended is told as unknown.

Reading order: `driver` (what a node holds) -> `following` (which phones are there; `phones` decides) -> `device`
(what steps call) -> `client`, `exchange` (requests and answers) -> `answers`, `marked` (text). Every name of the
vendor's is in `vocabulary`.
"""
