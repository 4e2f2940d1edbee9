"""What a client reads in frames, and how it follows a line of eventcast.v1."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from eventcast.client import State, subscribe
from eventcast.client.frames import Line, decode_frame
from eventcast.exceptions import ServerUnreachable, UndecodableMessage
from tests.fakes import until

TIMEOUT = 20.0
"""Seconds, far above what a step takes."""

# --- frames of a pattern's subscription -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame", ["", "{}", "[]", '{"channel": 1, "data": ""}', '{"channel": "/a", "base64": "."}', b"\xff"]
)
def test_decode_frame_refuses_what_is_none(frame: str | bytes) -> None:
    with pytest.raises(UndecodableMessage):
        decode_frame(frame)


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        ('{"time": 1.5, "channel": "/张", "data": "x"}', ("/张", "x")),
        ('{"time": 1.5, "channel": "/a", "base64": "AP8="}', ("/a", b"\x00\xff")),
    ],
)
def test_decode_frame_returns_channel_and_message(frame: str, found: tuple[str, str | bytes]) -> None:
    assert decode_frame(frame) == found


# --- eventcast.v1 -----------------------------------------------------------------------------------------------------

HELLO = '{"type": "hello", "heartbeat": 20, "channel": "/a"}'


def line() -> tuple[Line, list[int]]:
    missed: list[int] = []
    return Line(missed.append), missed


def test_line_yields_messages_and_nothing_else() -> None:
    found, missed = line()
    text, binary = '{"channel": "/a", "data": "x", "id": "1"}', '{"channel": "/a", "base64": "/w=="}'
    lost = '{"type": "lost", "messages": 3, "reason": "slow"}'
    frames = [HELLO, text, '{"type": "heartbeat"}', lost, binary, '{"type": "of tomorrow"}']
    assert [found.take(frame) for frame in frames] == [None, "x", None, None, b"\xff", None]
    assert missed == [3]
    assert found.patience == 28


def test_line_of_a_pattern_yields_records() -> None:
    found, _ = line()
    record = '{"channel": "/a/1", "data": "x"}'
    assert found.take('{"type": "hello", "heartbeat": 20, "pattern": "/a/<x>"}') is None
    assert found.take(record) == record


@pytest.mark.parametrize(("retry", "hopeless"), [([0.5, 4], False), (None, True)])
def test_line_keeps_what_bye_says(retry: list[float] | None, hopeless: bool) -> None:
    found, _ = line()
    found.take(json.dumps({"type": "bye", "code": 1001, "reason": "", "retry": retry}))
    assert (found.retry, found.is_hopeless) == (None if retry is None else tuple(retry), hopeless)


@pytest.mark.parametrize("frame", ["", "x", "[]", "1", "{}", '{"type": "hello"}', '{"type": "lost"}', b"\xff"])
def test_line_refuses_what_is_none(frame: str | bytes) -> None:
    with pytest.raises(UndecodableMessage):
        line()[0].take(frame)


# --- subscriptions ----------------------------------------------------------------------------------------------------

Serve = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def server_of(*turns: Serve, subprotocol: str | None = "eventcast.v1") -> AsyncIterator[str]:
    """The URL of a server that serves one connection after the other, and keeps the last one open."""
    left = list(turns)

    async def handle(connection: ServerConnection) -> None:
        await left.pop(0)(connection)
        if not left:
            await connection.wait_closed()

    options: dict[str, Any] = {"subprotocols": subprotocol and [subprotocol], "ping_interval": None}
    async with serve(handle, "127.0.0.1", 0, **options) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a"


def sends(*frames: str, end: bool = True) -> Serve:
    async def serve(connection: ServerConnection) -> None:
        for frame in frames:
            await connection.send(frame)
        if end:
            await connection.close(1001)
        else:
            await connection.wait_closed()

    return serve


async def next_of(messages: Any) -> Any:
    return await asyncio.wait_for(messages.__anext__(), TIMEOUT)


AGAIN = sends(HELLO, '{"channel": "/a", "data": "again"}')


async def test_silent_line_is_dead_and_opened_again() -> None:
    states: list[State] = []
    quick = '{"type": "hello", "heartbeat": 0.05, "channel": "/a"}'
    server = server_of(sends(quick, '{"type": "heartbeat"}', end=False), AGAIN)
    async with server as url, subscribe(url, on_state=states.append) as messages:
        assert await next_of(messages) == "again"
    assert [state.name for state in states] == ["open", "waiting", "open", "closed"]
    assert states[1].reason.startswith("Nothing came from")


async def test_program_that_is_slow_is_no_silence() -> None:
    quick = '{"type": "hello", "heartbeat": 0.01, "channel": "/a"}'
    texts = [f'{{"channel": "/a", "data": "{number}"}}' for number in range(3)]
    states: list[State] = []
    async with server_of(sends(quick, *texts, end=False)) as url, subscribe(url, on_state=states.append) as messages:
        assert await next_of(messages) == "0"
        loop = asyncio.get_running_loop()
        many_heartbeats_later = loop.time() + 0.1
        await until(lambda: loop.time() > many_heartbeats_later)
        assert [await next_of(messages) for _ in range(2)] == ["1", "2"]
        assert [state.name for state in states] == ["open"]


async def test_client_comes_back_when_the_server_wants_it() -> None:
    states: list[State] = []
    bye = '{"type": "bye", "code": 1001, "reason": "", "retry": [0.01, 0.02]}'
    async with server_of(sends(HELLO, bye), AGAIN) as url, subscribe(url, on_state=states.append) as messages:
        assert await next_of(messages) == "again"
    assert 0.01 <= states[1].delay <= 0.02


async def test_client_that_has_a_fault_does_not_come_back() -> None:
    bye = '{"type": "bye", "code": 1002, "reason": "", "retry": null}'
    async with server_of(sends(HELLO, bye)) as url, subscribe(url) as messages:
        with pytest.raises(ServerUnreachable, match="1001"):
            await next_of(messages)


async def test_losses_are_states() -> None:
    states: list[State] = []
    lost = '{"type": "lost", "messages": 3, "reason": "slow"}'
    server = server_of(sends(HELLO, lost, '{"channel": "/a", "data": "x"}'))
    async with server as url, subscribe(url, on_state=states.append) as messages:
        assert await next_of(messages) == "x"
        assert states == [State("open"), State("lost", messages=3)]


@pytest.mark.parametrize("subprotocol", ["eventcast", None])
async def test_frames_of_an_older_server_are_payloads(subprotocol: str | None) -> None:
    async with server_of(sends(HELLO, end=False), subprotocol=subprotocol) as url, subscribe(url) as messages:
        assert await next_of(messages) == HELLO
