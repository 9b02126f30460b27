"""A command on a phone, and a file to it, as requests to the vendor's program (step 9)."""

from __future__ import annotations

import secrets
from functools import partial

from doai.drivers.base import CommandOutput
from doai.drivers.xiaowei import vocabulary
from doai.drivers.xiaowei.answers import read_output, read_said, request
from doai.drivers.xiaowei.client import Client
from doai.drivers.xiaowei.exchange import Question
from doai.drivers.xiaowei.marked import marked_line
from doai.drivers.xiaowei.phones import Phone


def new_mark() -> str:
    """Return a mark that no other command has: 16 hex digits."""
    return secrets.token_hex(8)


class Commands:
    """Puts commands into requests."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def run(
        self, phone: Phone, command: str, *, tag: str = "", stdin_path: str = "", clean: bool = False
    ) -> CommandOutput:
        """Run a command line on a phone; raises what `Client.ask` and `read_output` do."""
        mark = new_mark()
        line = marked_line(command, mark, tag=tag, stdin_path=stdin_path, clean=clean)
        text = request(vocabulary.SHELL, phone.address, **{vocabulary.COMMAND: line})
        return await self._client.ask(Question(text, partial(read_output, mark=mark)))

    async def send_file(self, phone: Phone, local_path: str, remote_path: str) -> str:
        """Have a file of this host written on a phone; returns what the program says of it, which proves nothing.

        Neither path may hold a double quote: the program's command line has no way to write one.
        """
        command = f'adb push "{local_path}" "{remote_path}"'
        text = request(vocabulary.ADB, phone.address, **{vocabulary.COMMAND: command})
        return await self._client.ask(Question(text, partial(read_said, serial=phone.address)))
