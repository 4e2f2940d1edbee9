from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from typing import Any

import pytest

from eventcast.engine.fanout import LocalChannel
from eventcast.engine.messages import Batch, Message
from eventcast.engine.subscribers import Subscriber
from eventcast.websocket import asgi
from eventcast.websocket.asgi import ASGITransport
from tests.fakes import until


class Server:
    """An ASGI server's ``send``, which may make the application wait, or fail."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.broken = False
        self.waiting = 0

    async def send(self, event: dict[str, Any]) -> None:
        self.waiting += 1
        try:
            await self.open.wait()
        finally:
            self.waiting -= 1
        if self.broken:
            raise ConnectionResetError
        self.sent.append(event)

    def heard(self) -> list[str | bytes]:
        return [event["text"] if "text" in event else event["bytes"] for event in self.sent if "code" not in event]


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def transport(server: Server) -> ASGITransport:
    return ASGITransport(server.send)


@pytest.fixture
async def subscriber(transport: ASGITransport) -> Subscriber:
    subscriber = Subscriber(transport)
    LocalChannel("/a").add(subscriber)
    return subscriber


def batch(*data: str | bytes) -> Batch:
    return Batch([Message(item) for item in data])


async def others_run() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_write_sends_each_message_verbatim(
    transport: ASGITransport, server: Server, subscriber: Subscriber
) -> None:
    transport.open(subscriber)
    transport.write(batch("text", b"\xff", "", b"", "张三"))
    await until(lambda: server.heard() == ["text", b"\xff", "", b"", "张三"])


async def test_write_gives_one_key_for_text_and_one_for_bytes(
    transport: ASGITransport, server: Server, subscriber: Subscriber
) -> None:
    transport.open(subscriber)
    transport.write(batch("", b""))
    await until(lambda: len(server.sent) == 2)
    assert server.sent == [{"type": "websocket.send", "text": ""}, {"type": "websocket.send", "bytes": b""}]


async def test_write_keeps_the_order(transport: ASGITransport, server: Server, subscriber: Subscriber) -> None:
    transport.open(subscriber)
    for number in range(100):
        transport.write(batch(str(number)))
        if number % 7 == 0:
            await asyncio.sleep(0)
    await until(lambda: server.heard() == [str(number) for number in range(100)])


async def test_write_before_open_waits_for_the_handshake(
    transport: ASGITransport, server: Server, subscriber: Subscriber
) -> None:
    transport.write(batch("x"))
    await others_run()
    assert server.sent == []
    transport.open(subscriber)
    await until(lambda: server.heard() == ["x"])


async def test_write_after_close_sends_nothing(server: Server) -> None:
    serving = asyncio.create_task(serve(server))
    transport = await serving_transport(server)
    transport.close(1001, "")
    transport.write(batch("x"))
    await asyncio.wait([serving])
    assert server.heard() == []


async def test_pending_is_what_the_server_has_not_taken(
    transport: ASGITransport, server: Server, subscriber: Subscriber
) -> None:
    server.open.clear()
    transport.open(subscriber)
    transport.write(batch("123", "4567"))
    await others_run()
    assert transport.pending == len(batch("123", "4567").frames)


async def test_pending_falls_with_every_message_taken(
    transport: ASGITransport, server: Server, subscriber: Subscriber
) -> None:
    transport.open(subscriber)
    transport.write(batch("123", "4567"))
    await until(lambda: transport.pending == 0)
    assert len(server.sent) == 2


async def test_pending_counts_what_waits_for_the_handshake(transport: ASGITransport) -> None:
    transport.write(batch("123"))
    assert transport.pending == 5


async def test_no_task_is_left_when_all_is_sent(
    transport: ASGITransport, server: Server, subscriber: Subscriber
) -> None:
    tasks = asyncio.all_tasks()
    transport.open(subscriber)
    transport.write(batch("x"))
    await until(lambda: server.sent)
    await until(lambda: asyncio.all_tasks() == tasks)


async def test_failed_send_makes_the_subscriber_leave(
    transport: ASGITransport, server: Server, subscriber: Subscriber
) -> None:
    server.broken = True
    transport.open(subscriber)
    transport.write(batch("x", "y"))
    await until(lambda: subscriber.channel is None)
    assert server.waiting == 0


async def test_release_stops_the_writer(transport: ASGITransport, server: Server, subscriber: Subscriber) -> None:
    server.open.clear()
    transport.open(subscriber)
    transport.write(batch("x"))
    await until(lambda: server.waiting)
    transport.release()
    await until(lambda: not server.waiting)
    assert (transport.pending, server.sent) == (0, [])


async def test_release_lets_everything_go(server: Server) -> None:
    transport = ASGITransport(server.send)
    subscriber = Subscriber(transport)
    transport.open(subscriber)
    transport.write(batch("x"))
    await until(lambda: server.sent)
    transport.release()
    finalizer = weakref.finalize(transport, lambda: None)
    del transport, subscriber
    await others_run()
    gc.collect()
    assert not finalizer.alive


# --- closing ----------------------------------------------------------------------------------------------------------

_made: list[ASGITransport] = []


async def serve(server: Server) -> None:
    """What an application does: makes the transport in its own task, then waits for the peer to leave."""
    transport = ASGITransport(server.send)
    _made.append(transport)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not transport.closed:
            raise
        await transport.finish()


async def serving_transport(server: Server) -> ASGITransport:
    await until(lambda: _made)
    transport = _made.pop()
    subscriber = Subscriber(transport)
    LocalChannel("/a").add(subscriber)
    transport.open(subscriber)
    return transport


async def test_close_sends_code_and_reason(server: Server) -> None:
    serving = asyncio.create_task(serve(server))
    (await serving_transport(server)).close(1013, "why")
    await asyncio.wait([serving])
    assert server.sent == [{"type": "websocket.close", "code": 1013, "reason": "why"}]


async def test_close_ends_the_task_that_serves_the_connection(server: Server) -> None:
    serving = asyncio.create_task(serve(server))
    (await serving_transport(server)).close(1013, "")
    await asyncio.wait([serving])
    assert serving.done()
    assert not serving.cancelled()


async def test_close_ends_the_task_though_the_server_fails(server: Server) -> None:
    server.broken = True
    serving = asyncio.create_task(serve(server))
    (await serving_transport(server)).close(1013, "")
    await asyncio.wait([serving])
    assert serving.done()
    assert not serving.cancelled()


async def test_close_gives_up_on_a_peer_that_takes_no_close_frame(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "CLOSE_TIMEOUT", 0.001)
    server.open.clear()
    serving = asyncio.create_task(serve(server))
    (await serving_transport(server)).close(1013, "")
    await asyncio.wait([serving])
    assert serving.done()
    assert not serving.cancelled()


async def test_close_drops_what_is_pending(server: Server) -> None:
    server.open.clear()
    serving = asyncio.create_task(serve(server))
    transport = await serving_transport(server)
    transport.write(batch("x", "y"))
    await until(lambda: server.waiting)
    transport.close(1013, "")
    server.open.set()
    await asyncio.wait([serving])
    assert (server.heard(), transport.pending, len(server.sent)) == ([], 0, 1)


async def test_close_twice_sends_one_close_frame(server: Server) -> None:
    serving = asyncio.create_task(serve(server))
    transport = await serving_transport(server)
    transport.close(1013, "")
    transport.close(1001, "")
    await asyncio.wait([serving])
    assert [event["code"] for event in server.sent] == [1013]


async def test_close_marks_the_transport_closed(server: Server) -> None:
    serving = asyncio.create_task(serve(server))
    transport = await serving_transport(server)
    transport.close(1013, "")
    assert transport.closed
    await asyncio.wait([serving])


async def test_close_spares_a_task_that_has_left_the_connection(server: Server) -> None:
    # Middleware around the consumer may still have work to do when the consumer is done.
    transport = ASGITransport(server.send)
    transport.release()  # the peer has gone; the consumer returns
    transport.close(1013, "")
    await others_run()  # raises CancelledError if this task, which made the transport, is cancelled
    assert server.sent == []


async def test_close_frame_is_sent_when_nobody_waits_in_receive(server: Server) -> None:
    # granian sends none as long as somebody does.
    steps: list[str] = []

    async def serve() -> None:
        transport = ASGITransport(send)
        _made.append(transport)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            steps.append("receive() is over")
            await transport.finish()

    async def send(event: dict[str, Any]) -> None:
        steps.append(event["type"])

    serving = asyncio.create_task(serve())
    (await serving_transport(server)).close(1013, "")
    await asyncio.wait([serving])
    assert steps == ["receive() is over", "websocket.close"]


if sys.version_info >= (3, 11):  # a task does not know before; no skip, for that would have to be allowed

    async def test_close_leaves_the_task_uncancelled_for_those_around_it(server: Server) -> None:
        serving = asyncio.create_task(serve(server))
        (await serving_transport(server)).close(1013, "")
        await asyncio.wait([serving])
        assert serving.cancelling() == 0


async def test_pending_includes_what_the_server_keeps(server: Server) -> None:
    transport = ASGITransport(server.send, lambda: 1000)
    transport.write(batch("123"))
    assert transport.pending == 1005
