"""A WebSocket on a socket of our own: messages, pings and the close handshake."""

from __future__ import annotations

import socket

import pytest
from django.test import override_settings

from eventcast.engine import presence, sockets
from eventcast.engine.closing import OPERATOR, TOO_SLOW
from eventcast.engine.hub import current_hub
from eventcast.engine.keepalive import PingSchedule
from eventcast.engine.publishing import apublish, publish
from eventcast.engine.sending import apublish_all
from eventcast.websocket import connection as websocket_connection
from eventcast.websocket.connection import WebSocketConnection
from eventcast.websocket.frames import BINARY, CLOSE, PING, PONG, TEXT
from tests.fakes import frames_in, until
from tests.peers import Connect, Peer, closed, make_connect, make_peers, masked

peers, connect = pytest.fixture(make_peers), pytest.fixture(make_connect)

GOODBYE = masked(CLOSE, b"\x03\xe8")


# --- messages ---------------------------------------------------------------------------------------------------------


async def test_messages_arrive_verbatim_and_in_order(connect: Connect) -> None:
    peer = await connect()
    await apublish_all("/a", ["text", b"\xff", "", b"", "张三"])
    frames = [await peer.frame() for _ in range(5)]
    assert frames == [(TEXT, b"text"), (BINARY, b"\xff"), (TEXT, b""), (BINARY, b""), (TEXT, "张三".encode())]


@pytest.mark.parametrize("size", [125, 126, 65535, 65536, 1_000_000])
async def test_message_of_any_length_arrives(connect: Connect, size: int) -> None:
    peer = await connect()
    await apublish("/a", "x" * size)
    assert await peer.frame() == (TEXT, b"x" * size)


async def test_answer_of_the_handshake_comes_before_messages(connect: Connect) -> None:
    peer = await connect(b"HTTP/1.1 101")
    await apublish("/a", "x")
    assert await peer.read(12) == b"HTTP/1.1 101"
    assert await peer.frame() == (TEXT, b"x")


async def test_bytes_that_came_with_the_handshake_are_read(connect: Connect) -> None:
    peer = await connect(received=masked(PING, b"early"))
    assert await peer.frame() == (PONG, b"early")


async def test_client_that_reads_later_gets_everything_in_order(connect: Connect) -> None:
    peer = await connect(buffer=4096)
    sent = [str(number).encode() * 20_000 for number in range(10)]
    await apublish_all("/a", list(sent))
    assert peer.connection.pending > 0
    assert [(await peer.frame())[1] for _ in sent] == sent
    await until(lambda: peer.connection.pending == 0)


async def test_ping_is_answered_after_buffered_messages(connect: Connect) -> None:
    peer = await connect(buffer=4096)
    await apublish("/a", "x" * 500_000)
    await peer.send(masked(PING, b"p"))
    assert [await peer.frame(), await peer.frame()] == [(TEXT, b"x" * 500_000), (PONG, b"p")]


# --- pings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"a", b"\0" * 125])
async def test_ping_is_answered_with_its_payload(connect: Connect, payload: bytes) -> None:
    peer = await connect()
    await peer.send(masked(PING, payload))
    assert await peer.frame() == (PONG, payload)


async def test_pong_is_not_answered(connect: Connect) -> None:
    peer = await connect()
    await peer.send(masked(PONG, b"") + masked(PONG, b"unasked") + masked(PING, b"p"))
    assert await peer.frame() == (PONG, b"p")


async def test_silent_client_gets_a_ping(connect: Connect) -> None:
    schedule = PingSchedule(1, 1)
    peer = await connect(pings=schedule)
    schedule.tick(0)
    assert await peer.frame() == (PING, b"")


async def test_client_that_answers_pings_stays(connect: Connect) -> None:
    schedule = PingSchedule(1, 1)
    peer = await connect(pings=schedule)
    for second in range(5):
        schedule.tick(second)
        assert await peer.frame() == (PING, b"")
        await peer.send(masked(PONG))
        await until(lambda: peer.connection.answered)
    assert presence.subscriber_count("/a") == 1


async def test_client_that_answers_no_ping_is_cut_off(connect: Connect) -> None:
    schedule = PingSchedule(1, 1)
    peer = await connect(pings=schedule)
    for second in range(4):
        schedule.tick(second)
    assert await peer.rest() == [(PING, b"")]
    assert (presence.subscriber_count("/a"), schedule.count) == (0, 0)


async def test_client_with_something_pending_is_not_pinged(connect: Connect) -> None:
    schedule = PingSchedule(1, 30)
    peer = await connect(pings=schedule, buffer=4096)
    await apublish("/a", "x" * 500_000)
    schedule.tick(0)
    await peer.frame()
    await peer.send(masked(PING, b"next"))
    assert await peer.frame() == (PONG, b"next")


async def test_client_that_is_behind_and_takes_bytes_is_not_cut_off(connect: Connect) -> None:
    schedule = PingSchedule(1, 1)
    peer = await connect(pings=schedule, buffer=4096)
    await apublish("/a", "x" * 900_000)
    for second in range(6):  # Pings follow the buffered messages only.
        pending = peer.connection.pending
        await peer.read(50_000)
        await until(lambda before=pending: peer.connection.pending < before)
        schedule.tick(second)
    assert presence.subscriber_count("/a") == 1


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 10_000})
async def test_subscriber_that_reads_no_pongs_gets_no_more_bytes_buffered_than_messages(connect: Connect) -> None:
    peer = await connect(buffer=4096)
    await apublish("/a", "x" * 500_000)
    before = peer.connection.pending
    for _ in range(10):
        await peer.send(masked(PING, b"p" * 125) * 100)
        await peer.send(masked(PONG))
        await until(lambda: peer.connection.answered)
        peer.connection.answered = False
    assert peer.connection.pending <= before
    assert await peer.frame() == (TEXT, b"x" * 500_000)
    await peer.send(masked(PING, b"reads again"))
    assert await peer.frame() == (PONG, b"reads again")


async def test_client_that_leaves_pongs_unread_is_held_to_a_bound(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_connection, "MAX_CONTROL_PENDING", 1000)
    peer = await connect(buffer=4096)
    peer.connection.leave()
    for _ in range(200):
        peer.connection.received(masked(PING, b"x" * 125))
    assert peer.connection.pending == 0
    assert peer.connection.closed


# --- the close handshake ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
async def test_close_of_the_client_is_answered_with_its_code(connect: Connect, code: int) -> None:
    peer = await connect()
    await peer.send(masked(CLOSE, code.to_bytes(2, "big") + b"bye"))
    assert await peer.rest() == [closed(code)]
    assert presence.subscriber_count("/a") == 0


async def test_close_of_the_client_without_a_code_is_answered(connect: Connect) -> None:
    peer = await connect()
    await peer.send(masked(CLOSE))
    ((opcode, _),) = await peer.rest()
    assert opcode == CLOSE


async def test_nothing_that_follows_a_close_of_the_client_is_read(connect: Connect) -> None:
    peer = await connect()
    await peer.send(GOODBYE + masked(PING, b"p") + masked(7))
    assert await peer.rest() == [closed(1000)]


async def test_close_of_the_server_says_code_and_reason(connect: Connect) -> None:
    peer = await connect()
    peer.connection.close(OPERATOR)
    assert await peer.frame() == closed(OPERATOR.code, OPERATOR.reason)


async def test_close_of_the_server_ends_when_the_client_answers(connect: Connect) -> None:
    peer = await connect()
    peer.connection.close(OPERATOR)
    await peer.send(masked(CLOSE, b"\x0b\xb8"))
    assert await peer.rest() == [closed(OPERATOR.code, OPERATOR.reason)]


async def test_client_that_does_not_answer_a_close_is_cut_off(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "CLOSE_TIMEOUT", 0.01)
    peer = await connect()
    peer.connection.close(OPERATOR)
    assert await peer.rest() == [closed(OPERATOR.code, OPERATOR.reason)]


async def test_nothing_is_written_after_a_close_frame(connect: Connect) -> None:
    schedule = PingSchedule(1, 30)
    peer = await connect(pings=schedule)
    peer.connection.close(OPERATOR)
    await apublish("/a", "x")
    peer.connection.close(TOO_SLOW)
    schedule.tick(0)
    await peer.send(masked(PING, b"p") + masked(CLOSE))
    assert await peer.rest() == [closed(OPERATOR.code, OPERATOR.reason)]


async def test_close_comes_after_buffered_messages(connect: Connect) -> None:
    peer = await connect(buffer=4096)
    await apublish("/a", "x" * 500_000)
    peer.connection.close(OPERATOR)
    assert await peer.frame() == (TEXT, b"x" * 500_000)
    assert await peer.frame() == closed(OPERATOR.code, OPERATOR.reason)


async def test_close_before_the_handshake_is_answered_writes_nothing(peers: list[Peer]) -> None:
    peer = Peer()
    peers.append(peer)
    peer.connection.close(OPERATOR)
    peer.connection.connection_lost()
    assert await peer.rest() == []


async def test_client_that_leaves_without_a_word_is_forgotten(connect: Connect) -> None:
    peer = await connect()
    peer.leave()
    await until(lambda: presence.subscriber_count("/a") == 0)
    assert current_hub().channels == {}


async def test_abort_before_it_is_opened_leaves_the_socket_to_its_owner(peers: list[Peer]) -> None:
    peers.append(Peer())
    connection = peers[-1].connection
    await current_hub().subscribe("/a", connection)
    await apublish("/a", "kept until it is opened")
    connection.close(TOO_SLOW)
    connection.abort()
    assert connection.pending == current_hub().memory.total == 0
    with pytest.raises(BlockingIOError):
        peers[-1].socket.recv(1)
    current_hub().unsubscribe(connection)


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 1000})
async def test_nothing_is_written_before_the_handshake_is_answered() -> None:
    here, there = socket.socketpair()
    here.setblocking(False)
    there.setblocking(False)
    hub = current_hub()
    connection = WebSocketConnection(here, hub.keepalive.schedule(20, 30), None)
    await hub.subscribe("/a", connection)
    for number in range(10):  # On the loop, where a publisher makes subscribers that are behind write at once.
        publish("/a", f"{number}".ljust(90))
    with pytest.raises(BlockingIOError):
        there.recv(1)
    connection.open(b"first")
    heard = there.recv(65536)
    assert heard.startswith(b"first")
    assert [int(payload) for _, payload in frames_in(heard.removeprefix(b"first"))] == list(range(10))
    assert (connection.pending, connection.position) == (0, 0)
    connection.connection_lost()
    there.close()
