"""Publishing on a WebSocket on a socket of our own: in order, held back, and to the last message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from django.test import override_settings

from eventcast.engine.closing import OPERATOR
from eventcast.engine.fanout import BACKLOG_LIMIT
from eventcast.engine.hub import current_hub
from eventcast.engine.presence import subscriber_count
from eventcast.security import throttling
from eventcast.websocket.connection import INBOX
from eventcast.websocket.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.fakes import FakeSubscriber, set_clock, until
from tests.peers import Connect, closed, make_connect, make_peers, masked

peers, connect = pytest.fixture(make_peers), pytest.fixture(make_connect)


@pytest.fixture
async def listener() -> AsyncIterator[FakeSubscriber]:
    """Another subscriber of /a."""
    subscriber = FakeSubscriber()
    await current_hub().subscribe("/a", subscriber)
    yield subscriber
    current_hub().unsubscribe(subscriber)


def hold_up() -> None:
    """Let publishers of /a wait, as they do when much is waiting to be written."""
    current_hub().channels["/a"].backlog = BACKLOG_LIMIT


def go_on() -> None:
    current_hub().channels["/a"].backlog = 0


async def test_messages_are_published_verbatim_and_in_order(listener: FakeSubscriber, connect: Connect) -> None:
    peer = await connect(speaks=True)
    await peer.send(masked(TEXT, "张三".encode()) + masked(BINARY, b"\xff") + masked(TEXT) + masked(BINARY))
    await until(lambda: listener.data == ["张三", b"\xff", "", b""])


async def test_message_comes_back_to_its_own_client(connect: Connect) -> None:
    peer = await connect(speaks=True)
    await peer.send(masked(TEXT, b"x"))
    assert await peer.frame() == (TEXT, b"x")


async def test_message_in_fragments_is_published_once(listener: FakeSubscriber, connect: Connect) -> None:
    peer = await connect(speaks=True)
    await peer.send(masked(TEXT, b"a", final=False) + masked(PING, b"p") + masked(CONTINUATION, b"b"))
    assert await peer.frame() == (PONG, b"p")
    await until(lambda: listener.data == ["ab"])


async def test_message_of_a_client_that_only_listens_is_not_published(
    listener: FakeSubscriber, connect: Connect
) -> None:
    peer = await connect()
    await peer.send(masked(TEXT, b"x") + masked(PING))
    assert await peer.frame() == (PONG, b"")
    assert listener.data == []


async def test_messages_right_before_the_clients_close_are_published(
    listener: FakeSubscriber, connect: Connect
) -> None:
    peer = await connect(speaks=True)
    await peer.send(b"".join(masked(TEXT, b"%d" % number) for number in range(100)) + masked(CLOSE, b"\x03\xe8"))
    await until(lambda: listener.data == [str(number) for number in range(100)])
    assert subscriber_count("/a") == 1


async def test_messages_right_before_the_client_is_gone_are_published(
    listener: FakeSubscriber, connect: Connect
) -> None:
    peer = await connect(speaks=True)
    await peer.send(b"".join(masked(TEXT, b"%d" % number) for number in range(100)))
    peer.leave()
    await until(lambda: listener.data == [str(number) for number in range(100)])
    await until(lambda: subscriber_count("/a") == 1)


async def test_client_is_held_back_while_its_messages_wait(listener: FakeSubscriber, connect: Connect) -> None:
    peer = await connect(speaks=True)
    hold_up()
    with pytest.raises(asyncio.TimeoutError):
        await peer.send(masked(TEXT, b"x" * 60_000) * 200, timeout=0.2)
    assert len(peer.connection._inbox or ()) <= INBOX + 1
    go_on()
    await until(lambda: len(listener.data) >= INBOX)
    assert not peer.connection.closed


async def test_client_that_was_held_back_is_read_again(listener: FakeSubscriber, connect: Connect) -> None:
    peer = await connect(speaks=True)
    hold_up()
    await peer.send(b"".join(masked(TEXT, b"%d" % number) for number in range(INBOX + 1)))
    await until(lambda: peer.connection._paused)
    go_on()
    await peer.send(masked(TEXT, b"after"))
    await until(lambda: listener.data[INBOX + 1 :] == ["after"])
    assert listener.data[: INBOX + 1] == [str(number) for number in range(INBOX + 1)]


async def test_text_that_is_not_utf8_closes_with_1007_and_is_not_published(
    listener: FakeSubscriber, connect: Connect
) -> None:
    peer = await connect(speaks=True)
    await peer.send(masked(TEXT, b"\xff"))
    opcode, payload = await peer.frame()
    assert (opcode, payload[:2], listener.data) == (CLOSE, b"\x03\xef", [])


@override_settings(EVENTCAST={"MAX_MESSAGE_SIZE": 10})
async def test_message_that_is_too_large_closes_with_1009(listener: FakeSubscriber, connect: Connect) -> None:
    peer = await connect(speaks=True)
    await peer.send(masked(TEXT, b"small") + masked(TEXT, b"x" * 11))
    assert await peer.frame() == closed(1009, "The message is larger than 10 bytes.")
    await until(lambda: listener.data == ["small"])


@override_settings(EVENTCAST={"PUBLISH_RATE": 1, "PUBLISH_BURST": 2})
async def test_message_over_the_rate_closes_with_1008(
    listener: FakeSubscriber, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, throttling, 100.0)
    peer = await connect(speaks=True)
    await peer.send(masked(TEXT, b"x") * 3)
    frames = await peer.rest()
    assert frames[:2] == [(TEXT, b"x")] * 2
    assert (frames[2][0], frames[2][1][:2], listener.data) == (CLOSE, b"\x03\xf0", ["x"] * 2)


async def test_messages_that_wait_when_the_server_closes_are_not_published(
    listener: FakeSubscriber, connect: Connect
) -> None:
    peer = await connect(speaks=True)
    hold_up()
    await peer.send(b"".join(masked(TEXT, b"%d" % number) for number in range(5)))
    await until(lambda: len(peer.connection._inbox or ()) == 4)
    peer.connection.close(OPERATOR)
    go_on()
    await until(lambda: peer.connection._publishing is None)
    assert listener.data == ["0"]
