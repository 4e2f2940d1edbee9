"""A WebSocket on a socket of our own: clients that break a rule, send too much, or read too slowly."""

from __future__ import annotations

import asyncio

import pytest
from django.test import override_settings

from eventcast.engine import presence
from eventcast.engine.closing import TOO_SLOW
from eventcast.engine.publishing import apublish
from eventcast.websocket.frames import CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.fakes import until
from tests.peers import Connect, closed, make_connect, make_peers, masked

peers, connect = pytest.fixture(make_peers), pytest.fixture(make_connect)


# --- rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speaks", [False, True])
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x01a", 1002),
        (masked(3), 1002),
        (masked(PING, b"x" * 126), 1002),
        (masked(CONTINUATION), 1002),
        (masked(CLOSE, b"\x03"), 1002),
        (masked(CLOSE, b"\x03\xed"), 1002),
        (masked(CLOSE, b"\x03\xe8\xff"), 1007),
        (masked(TEXT, b"\xff"), 1007),
        (masked(TEXT, b"x" * (1024 * 1024 + 1))[:14], 1009),
    ],
)
async def test_broken_rule_closes_with_its_code(connect: Connect, speaks: bool, data: bytes, code: int) -> None:
    peer = await connect(speaks=speaks)
    await peer.send(data)
    opcode, payload = await peer.frame()
    assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, code)
    assert await peer.rest() == []
    await peer.send(masked(CLOSE, b"\x03\xe8"))  # The server has closed its own side only: nothing is reset.
    assert presence.subscriber_count("/a") == 0


@override_settings(EVENTCAST={"MAX_INBOUND_FRAMES": 3})
async def test_client_that_only_listens_and_sends_too_much_is_closed(connect: Connect) -> None:
    peer = await connect()
    await peer.send(masked(TEXT, b"x") * 4)
    assert await peer.frame() == closed(1008, "This WebSocket only listens.")


@override_settings(EVENTCAST={"MAX_INBOUND_FRAMES": 3})
async def test_client_that_only_listens_may_send_pings_and_a_little(connect: Connect) -> None:
    peer = await connect()
    await peer.send(masked(PING) * 4 + masked(TEXT, b"x") * 3 + masked(PING, b"last"))
    frames = [await peer.frame() for _ in range(5)]
    assert frames == [(PONG, b"")] * 4 + [(PONG, b"last")]


# --- slow clients -----------------------------------------------------------------------------------------------------


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 50_000})
async def test_slow_client_is_closed_with_1013_behind_whole_messages(connect: Connect) -> None:
    peer = await connect(buffer=4096)
    while not peer.connection.closed:
        await apublish("/a", "x" * 20_000)
    answering = asyncio.ensure_future(peer.rest())
    await until(lambda: peer.connection.pending == 0)
    await peer.send(masked(CLOSE, b"\x03\xf5"))
    *messages, last = await answering
    assert last == closed(TOO_SLOW.code, TOO_SLOW.reason)
    assert set(messages) <= {(TEXT, b"x" * 20_000)}


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 50_000, "SLOW_SUBSCRIBERS": "drop"})
async def test_slow_client_may_lose_whole_messages_and_stay(connect: Connect) -> None:
    peer = await connect(buffer=4096)
    while not peer.connection.lost:
        await apublish("/a", "x" * 20_000)
    while peer.connection.pending:
        assert await peer.frame() == (TEXT, b"x" * 20_000)
    await apublish("/a", "next")
    frames = [await peer.frame()]
    while frames[-1] != (TEXT, b"next"):
        frames.append(await peer.frame())
    assert set(frames[:-1]) <= {(TEXT, b"x" * 20_000)}
