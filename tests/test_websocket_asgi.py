"""A WebSocket that is written to by the ASGI ``send``: order, bounds and the way it is closed."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from typing import Any

import pytest
from django.test import override_settings

from eventcast.engine import subscribers
from eventcast.engine.closing import GOING_AWAY, TOO_SLOW
from eventcast.engine.encoders import Batch
from eventcast.engine.fanout import LocalChannel
from eventcast.engine.messages import Message
from eventcast.websocket import asgi
from eventcast.websocket.asgi import OVERHEAD, ASGIWebSocket
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
async def subscriber(server: Server) -> ASGIWebSocket:
    subscriber = ASGIWebSocket(server.send)
    LocalChannel("/a").add(subscriber)
    return subscriber


def batch(*data: str | bytes) -> Batch:
    return Batch([Message(item) for item in data])


async def others_run() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_write_sends_each_message_verbatim(subscriber: ASGIWebSocket, server: Server) -> None:
    subscriber.open()
    subscriber.write(batch("text", b"\xff", "", b"", "张三"))
    await until(lambda: server.heard() == ["text", b"\xff", "", b"", "张三"])


async def test_write_gives_one_key_for_text_and_one_for_bytes(subscriber: ASGIWebSocket, server: Server) -> None:
    subscriber.open()
    subscriber.write(batch("", b""))
    await until(lambda: len(server.sent) == 2)
    assert server.sent == [{"type": "websocket.send", "text": ""}, {"type": "websocket.send", "bytes": b""}]


async def test_write_keeps_the_order(subscriber: ASGIWebSocket, server: Server) -> None:
    subscriber.open()
    for number in range(100):
        subscriber.write(batch(str(number)))
        if number % 7 == 0:
            await asyncio.sleep(0)
    await until(lambda: server.heard() == [str(number) for number in range(100)])


async def test_write_before_open_waits_for_the_handshake(subscriber: ASGIWebSocket, server: Server) -> None:
    subscriber.write(batch("x"))
    await others_run()
    assert server.sent == []
    subscriber.open()
    await until(lambda: server.heard() == ["x"])


async def test_pending_is_what_the_server_has_not_taken(subscriber: ASGIWebSocket, server: Server) -> None:
    server.open.clear()
    subscriber.open()
    subscriber.write(batch("123", "4567"))
    await until(lambda: server.waiting)
    assert subscriber.pending == 7 + 2 * OVERHEAD


async def test_pending_falls_with_every_message_taken(subscriber: ASGIWebSocket, server: Server) -> None:
    subscriber.open()
    subscriber.write(batch("123", "4567"))
    await until(lambda: subscriber.pending == 0)
    assert len(server.sent) == 2


async def test_pending_counts_what_waits_for_the_handshake(subscriber: ASGIWebSocket) -> None:
    subscriber.write(batch("123"))
    assert subscriber.pending == 3 + OVERHEAD


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 200, "SLOW_SUBSCRIBERS": "drop"})
async def test_deliver_loses_and_counts_what_is_over_the_bound(
    subscriber: ASGIWebSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 0)
    for _ in range(4):
        subscriber.deliver(batch("x" * 60))
    assert (subscriber.pending, subscriber.lost) == (2 * (60 + OVERHEAD), 2)


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 100})
async def test_deliver_takes_a_batch_over_the_bound_when_nothing_is_pending(subscriber: ASGIWebSocket) -> None:
    subscriber.deliver(batch(*["x" * 60] * 10))
    assert (len(subscriber._buffer or ()), subscriber.lost) == (10, 0)


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 200, "SLOW_SUBSCRIBERS": "drop"})
async def test_empty_messages_are_bounded_too(subscriber: ASGIWebSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 0)
    for _ in range(4):
        subscriber.deliver(batch(""))
    assert (len(subscriber._buffer or ()), subscriber.lost) == (3, 1)


async def test_no_task_is_left_when_all_is_sent(subscriber: ASGIWebSocket, server: Server) -> None:
    tasks = asyncio.all_tasks()
    subscriber.open()
    subscriber.write(batch("x"))
    await until(lambda: server.sent)
    await until(lambda: asyncio.all_tasks() == tasks)


async def test_failed_send_makes_the_subscriber_leave(subscriber: ASGIWebSocket, server: Server) -> None:
    server.broken = True
    subscriber.open()
    subscriber.write(batch("x", "y"))
    await until(lambda: subscriber.channel is None)
    assert server.waiting == 0


async def test_release_stops_the_writer(subscriber: ASGIWebSocket, server: Server) -> None:
    server.open.clear()
    subscriber.open()
    subscriber.write(batch("x"))
    await until(lambda: server.waiting)
    subscriber.release()
    await until(lambda: not server.waiting)
    assert (subscriber.pending, server.sent) == (0, [])


class Part:
    """Something that only the subscriber refers to: a subscriber itself cannot be watched."""


async def test_release_lets_everything_go(server: Server) -> None:
    subscriber, part = ASGIWebSocket(server.send), Part()
    subscriber.on_end = lambda part=part: None  # type: ignore[misc]
    watched = weakref.ref(part)
    subscriber.open()
    subscriber.write(batch("x"))
    await until(lambda: server.sent)
    subscriber.release()
    del subscriber, part
    await others_run()
    gc.collect()
    assert watched() is None


# --- closing ----------------------------------------------------------------------------------------------------------


async def served(server: Server) -> tuple[asyncio.Task[None], ASGIWebSocket]:
    """What an application does: makes the subscriber in its own task, then waits for the client to leave."""
    made: list[ASGIWebSocket] = []

    async def serve() -> None:
        subscriber = ASGIWebSocket(server.send)
        made.append(subscriber)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not subscriber.closed:
                raise
            await subscriber.finish()

    serving = asyncio.create_task(serve())
    await until(lambda: made)
    LocalChannel("/a").add(made[0])
    made[0].open()
    return serving, made[0]


async def test_close_sends_code_and_reason(server: Server) -> None:
    serving, subscriber = await served(server)
    subscriber.close(TOO_SLOW)
    await asyncio.wait([serving])
    assert server.sent == [{"type": "websocket.close", "code": 1013, "reason": TOO_SLOW.reason}]


@pytest.mark.parametrize("broken", [False, True])
async def test_close_ends_the_task_that_serves_the_connection(server: Server, broken: bool) -> None:
    server.broken = broken
    serving, subscriber = await served(server)
    subscriber.close(TOO_SLOW)
    await asyncio.wait([serving])
    assert not serving.cancelled()
    assert serving.exception() is None


async def test_close_gives_up_on_a_client_that_takes_no_close_frame(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "CLOSE_TIMEOUT", 0.001)
    server.open.clear()
    serving, subscriber = await served(server)
    subscriber.close(TOO_SLOW)
    await asyncio.wait([serving])
    assert (serving.cancelled(), server.sent) == (False, [])


async def test_close_drops_what_is_pending(server: Server) -> None:
    server.open.clear()
    serving, subscriber = await served(server)
    subscriber.write(batch("x", "y"))
    await until(lambda: server.waiting)
    subscriber.close(TOO_SLOW)
    server.open.set()
    await asyncio.wait([serving])
    assert (server.heard(), subscriber.pending, len(server.sent)) == ([], 0, 1)


async def test_close_twice_sends_one_close_frame(server: Server) -> None:
    serving, subscriber = await served(server)
    subscriber.close(TOO_SLOW)
    subscriber.close(GOING_AWAY)
    await asyncio.wait([serving])
    assert [event["code"] for event in server.sent] == [1013]


async def test_close_spares_a_task_that_has_left_the_connection(server: Server) -> None:
    # Middleware around the consumer may still have work to do when the consumer is done.
    subscriber = ASGIWebSocket(server.send)
    subscriber.open()
    subscriber.release()  # The client has gone; the consumer returns.
    subscriber.close(TOO_SLOW)
    await others_run()  # raises CancelledError if this task, which made the subscriber, is cancelled
    assert server.sent == []


async def test_close_before_open_sends_nothing(subscriber: ASGIWebSocket, server: Server) -> None:
    subscriber.close(TOO_SLOW)
    await others_run()
    assert (subscriber.closed, server.sent) == (True, [])


async def test_close_before_open_is_done_after_it(server: Server) -> None:
    subscriber: list[ASGIWebSocket] = []

    async def serve() -> None:
        subscriber.append(ASGIWebSocket(server.send))
        subscriber[0].close(TOO_SLOW)  # while the handshake is being answered
        subscriber[0].open()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await subscriber[0].finish()

    await asyncio.wait_for(serve(), 10)
    assert [event["code"] for event in server.sent] == [TOO_SLOW.code]


if sys.version_info >= (3, 11):  # a task does not know before; no skip, for that would have to be allowed

    async def test_close_leaves_the_task_uncancelled_for_those_around_it(server: Server) -> None:
        serving, subscriber = await served(server)
        subscriber.close(TOO_SLOW)
        await asyncio.wait([serving])
        assert serving.cancelling() == 0
