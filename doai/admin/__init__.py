"""The admin: the HTTP API, a process of its own on asyncio (steps 1, 10 and 14 of the way of a task).

It decides nothing. Reads go through the store's reader, every change is a command to the broker, and what a
handler answers is true on disk. Read app.py first, then routes/.
"""
