"""The proxy does to a link what its mode says, to open connections and to new ones."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.chaos.proxy import Mode, Proxy, open_proxies


async def echo(stream: trio.SocketStream) -> None:
    try:
        async for data in stream:
            await stream.send_all(data)
    except trio.BrokenResourceError:
        pass  # Cut, which is what is tested.


async def connected(proxy: Proxy) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", proxy.port)


async def test_every_mode(nursery: trio.Nursery) -> None:
    listeners = await nursery.start(trio.serve_tcp, echo, 0)
    port = listeners[0].socket.getsockname()[1]
    with trio.fail_after(90):
        async with open_proxies() as proxies:
            endpoint = await proxies.route("node", f"tcp://127.0.0.1:{port}")
            proxy = proxies.of["node"]
            assert endpoint == f"tcp://127.0.0.1:{proxy.port}"
            async with await connected(proxy) as stream:
                for mode in (Mode.PASS, Mode.DELAY):
                    proxy.set_mode(mode)
                    await stream.send_all(b"a")
                    assert await stream.receive_some(1) == b"a"
                for mode in (Mode.STALL_UP, Mode.STALL_DOWN, Mode.STALL_BOTH):
                    proxy.set_mode(mode)
                    await stream.send_all(b"b")
                    with trio.move_on_after(0.1) as nothing:
                        await stream.receive_some(1)
                    assert nothing.cancelled_caught
                    proxies.heal()
                    assert await stream.receive_some(1) == b"b"
                proxy.cut()
                with pytest.raises(trio.BrokenResourceError):
                    await stream.receive_some(1)
            proxy.set_mode(Mode.REFUSE)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(OSError, match="connect"):
                await connected(proxy)
            proxies.heal()
            await trio.testing.wait_all_tasks_blocked()
            async with await connected(proxy) as stream:
                await stream.send_all(b"c")
                assert await stream.receive_some(1) == b"c"
    nursery.cancel_scope.cancel()
