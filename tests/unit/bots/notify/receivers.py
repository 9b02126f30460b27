"""What messages are sent to in tests: an HTTP server that does as it is told, and an SMTP server, on loopback."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

HANG = 0
ENDS_S = 90.0


class Hook:
    """Answers each request with the next status; without one, with 204."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.about = b""
        """Only requests that have this in them take of the answers."""
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.url = ""
        self.over = threading.Event()

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        self.requests.append(({name.lower(): value for name, value in handler.headers.items()}, body))
        status, headers = self.answers.pop(0) if self.answers and self.about in body else (204, {})
        if status == HANG:
            self.over.wait(ENDS_S)
            return
        handler.send_response(status)
        for name, value in {"content-length": "0", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()


@contextmanager
def hook() -> Iterator[Hook]:
    received = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.take(self)

        def log_message(self, *_: Any) -> None:
            pass

    with _served(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        received.url = f"http://127.0.0.1:{port}/in"
        try:
            yield received
        finally:
            received.over.set()


class Inbox:
    """Takes every letter, or refuses them all."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.refusal = ""
        self.address = ""

    def speak(self, handler: StreamRequestHandler) -> None:
        """One conversation, as far as a letter needs it (RFC 5321)."""
        handler.wfile.write(b"220 test\r\n")
        for line in handler.rfile:
            word = line.split()[0].upper() if line.split() else b""
            if word == b"DATA":
                handler.wfile.write(b"354 go on\r\n")
                handler.wfile.write(self._letter(iter(handler.rfile)))
            else:
                handler.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")
            if word == b"QUIT":
                return

    def _letter(self, lines: Iterator[bytes]) -> bytes:
        data = b"".join(itertools.takewhile(lambda line: line != b".\r\n", lines))
        if self.refusal:
            return f"{self.refusal}\r\n".encode()
        letter = BytesParser(policy=default).parsebytes(data)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        return b"250 taken\r\n"


@contextmanager
def inbox() -> Iterator[Inbox]:
    received = Inbox()

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            received.speak(self)

    with _served(ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        received.address = f"127.0.0.1:{port}"
        yield received


@contextmanager
def _served(server: ThreadingTCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join(ENDS_S)
        server.server_close()
