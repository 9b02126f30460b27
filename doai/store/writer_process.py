"""The process that writes the broker's store for `ProcessWriter`: reads requests from a descriptor (steps 3, 13).

It ends when the other side closes, also when that dies; a signal meant for the whole group does not end it,
because the broker decides when the last commit was.
"""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path
from typing import Final

import msgspec

from doai.codec import encode
from doai.errors import StoreError, StoreUnavailable
from doai.store.process_writer import (
    Checkpoint,
    Commit,
    Done,
    Load,
    Loaded,
    Open,
    Refused,
    Reply,
    Request,
    receive_frame,
    send_frame,
)
from doai.store.sqlite_writer import SqliteWriter, open_writer

_decode_request: Final = msgspec.msgpack.Decoder(Request).decode


def main(fd: int) -> int:
    """Serve requests until the other side closes; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    writer: SqliteWriter | None = None
    with socket.socket(fileno=fd) as channel:
        try:
            while True:
                request: Request = _decode_request(receive_frame(channel))
                if isinstance(request, Open):
                    writer = open_writer(
                        Path(request.path),
                        new_store_id=request.new_store_id,
                        now_ms=request.now_ms,
                        vfs=request.vfs,
                    )
                send_frame(channel, encode(_serve(writer, request)))
        except (StoreError, StoreUnavailable) as error:
            refused = Refused(isinstance(error, StoreUnavailable), error.code, str(error))
            send_frame(channel, encode(refused))
            return 1
        except (EOFError, ConnectionError):
            return 0
        finally:
            if writer is not None:
                writer.close()


def _serve(writer: SqliteWriter | None, request: Request) -> Reply:
    if writer is None:
        raise StoreError("the store's process was asked before it was told what to open: a bug of doai")
    if isinstance(request, Load):
        return Loaded(writer.load())
    if isinstance(request, Commit):
        writer.commit(request.ops)
    elif isinstance(request, Checkpoint):
        writer.checkpoint()
    return Done(writer.log_bytes)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
