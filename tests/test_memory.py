"""The bound on everything that the subscribers of one event loop owe."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.test import AsyncRequestFactory, override_settings

from eventcast.engine import memory
from eventcast.engine.closing import TOO_SLOW, TRY_AGAIN_LATER
from eventcast.engine.encoders import Piece
from eventcast.engine.hub import current_hub
from eventcast.engine.memory import PendingMemory
from eventcast.engine.publishing import publish
from eventcast.engine.send_buffer import BufferedSubscriber
from eventcast.http.formats import FORMATS, SSE
from eventcast.http.streams import ResponseStream, Stream
from eventcast.security.admission import Permit
from eventcast.websocket.asgi import ASGIWebSocket
from tests.fakes import FakeSubscriber, StuckSubscriber
from tests.reading import Connections, make_connections

connections = pytest.fixture(make_connections)


def limited(size: int) -> override_settings:
    return override_settings(EVENTCAST={"MAX_PENDING_BYTES": size})


def owing(pending: PendingMemory, *pieces: Piece) -> StuckSubscriber:
    """A subscriber that owes these pieces, and drops them when it is closed."""

    class Owing(StuckSubscriber):
        def close(self, *closing: object) -> None:
            super().close(*closing)  # type: ignore[arg-type]
            self.pending = 0
            for piece in pieces:
                pending.release(piece)
            pending.forget(self)

    subscriber = Owing(sum(len(piece.data) for piece in pieces))
    for piece in pieces:
        pending.add(piece, subscriber)
    return subscriber


def test_piece_that_many_owe_is_counted_once() -> None:
    pending, piece = PendingMemory(), Piece(b"12345")
    for _ in range(3):
        pending.add(piece, FakeSubscriber())
    assert pending.total == 5


def test_piece_is_counted_until_its_last_holder_has_written_it() -> None:
    pending, piece = PendingMemory(), Piece(b"12345")
    for _ in range(2):
        pending.add(piece, FakeSubscriber())
    pending.release(piece)
    before = pending.total
    pending.release(piece)
    assert (before, pending.total) == (5, 0)


@limited(10)
def test_enforce_closes_no_subscriber_within_the_bound() -> None:
    pending = PendingMemory()
    subscriber = owing(pending, Piece(b"1234567890"))
    pending.enforce()
    assert not subscriber.closed


@limited(10)
def test_enforce_closes_the_slowest_until_the_rest_fits(caplog: pytest.LogCaptureFixture) -> None:
    pending = PendingMemory()
    small, large, middle = (owing(pending, Piece(b"x" * size)) for size in (5, 20, 7))
    pending.enforce()
    assert [each.close_code for each in (large, middle, small)] == [TRY_AGAIN_LATER, TRY_AGAIN_LATER, None]
    assert pending.total == 5
    assert len(caplog.records) == 1


@limited(10)
def test_burst_of_losses_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    pending = PendingMemory()
    for _ in range(3):
        owing(pending, Piece(b"x" * 20))
        owing(pending, Piece(b"x" * 9))
        pending.enforce()
        assert pending.total <= 10
    assert len(caplog.records) == 1
    piece = Piece(b"")
    for subscriber in list(pending._holders):
        subscriber.close(TOO_SLOW)
    pending.add(piece, FakeSubscriber())
    owing(pending, Piece(b"x" * 20))
    pending.enforce()
    assert len(caplog.records) == 2


def test_default_limit_is_at_most_512_mib() -> None:
    assert 0 < memory.default_limit() <= 512 * 1024 * 1024


@limited(3_000_000)
async def test_subscribers_that_do_not_read_are_closed_past_the_bound(connections: Connections) -> None:
    for number in range(6):
        await connections.connect(f"/{number}", reads=False)
    for number in range(6):
        publish(f"/{number}", "x" * 1_000_000)
    assert current_hub().memory.total <= 3_000_000
    assert 0 < sum(subscriber.closed for subscriber in connections.subscribers) < 6


@limited(3_000_000)
async def test_subscribers_of_one_message_owe_it_once(connections: Connections) -> None:
    for _ in range(6):
        await connections.connect("/a", reads=False)
    publish("/a", "x" * 1_000_000)
    assert 0 < current_hub().memory.total < 1_100_000
    assert not any(subscriber.closed for subscriber in connections.subscribers)


async def test_nothing_is_counted_when_all_have_left(connections: Connections) -> None:
    for _ in range(3):
        await connections.connect("/a", reads=False)
    publish("/a", "x" * 1_000_000)
    await connections.close()
    assert (current_hub().memory.total, current_hub().memory._holders) == (0, set())


def stream() -> ResponseStream:
    """A stream of a server that has taken nothing yet."""
    subscriber = ResponseStream(Stream(AsyncRequestFactory().get("/a"), "/a", FORMATS[SSE], Permit()))
    subscriber._task = asyncio.create_task(asyncio.sleep(0))
    return subscriber


def websocket() -> ASGIWebSocket:
    """A WebSocket of a server that takes the first message and no more."""

    async def send(event: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    subscriber = ASGIWebSocket(send)
    subscriber._server_task = asyncio.create_task(asyncio.sleep(0))
    subscriber.open()
    return subscriber


@limited(3_000_000)
@pytest.mark.parametrize("make", [stream, websocket])
async def test_subscribers_of_other_servers_count_as_well(make: Callable[[], BufferedSubscriber]) -> None:
    hub = current_hub()
    subscribers = [make() for _ in range(6)]
    for number, subscriber in enumerate(subscribers):
        await hub.subscribe(f"/{number}", subscriber)
    for number in range(6):
        publish(f"/{number}", "x" * 1_000_000)
    assert 2_000_000 < hub.memory.total <= 3_000_000
    assert 3 <= sum(subscriber.closed for subscriber in subscribers) < 6
    for subscriber in subscribers:
        hub.unsubscribe(subscriber)
    assert (hub.memory.total, hub.memory._holders) == (0, set())


@pytest.mark.parametrize("make", [stream, websocket])
async def test_message_of_many_subscribers_of_other_servers_is_stored_once(
    make: Callable[[], BufferedSubscriber],
) -> None:
    hub = current_hub()
    subscribers = [make() for _ in range(6)]
    for subscriber in subscribers:
        await hub.subscribe("/a", subscriber)
    publish("/a", "x" * 1_000_000)
    assert 1_000_000 <= hub.memory.total < 1_001_000
    for subscriber in subscribers:
        hub.unsubscribe(subscriber)
    assert hub.memory.total == 0
