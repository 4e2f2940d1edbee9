"""The subprotocol eventcast.v1, by a client of the package websockets that is written from docs/protocol.md alone."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

import eventcast
from tests.live import servers
from tests.live.conftest import Start, Talk
from tests.live.servers import Server
from tests.live.waiting import TIMEOUT

EVERYWHERE = pytest.mark.parametrize("start_server", [servers.serve, servers.daphne, servers.uvicorn])
OURS = pytest.mark.parametrize("start_server", [servers.serve, servers.daphne])
"""Where eventcast pings, and closes when the server stops. uvicorn does both itself."""


class Client:
    """One connection of eventcast.v1."""

    def __init__(self, connection: ClientConnection, hello: dict[str, Any]) -> None:
        self.connection = connection
        self.hello = hello
        self.lost = 0
        self.heartbeats = 0
        self.bye: dict[str, Any] | None = None

    @classmethod
    async def connect(cls, server: Server, target: str, *beside: str, **options: Any) -> Client:
        offers = [Subprotocol(each) for each in ("eventcast.v1", *beside)]
        connection = await connect(f"ws://127.0.0.1:{server.port}{target}", subprotocols=offers, **options)
        assert connection.subprotocol == "eventcast.v1"
        hello = json.loads(await asyncio.wait_for(connection.recv(decode=True), TIMEOUT))
        assert hello["type"] == "hello"
        return cls(connection, hello)

    async def frame(self) -> dict[str, Any]:
        """The next frame; raises ``ConnectionClosed`` at the end."""
        # A line that is silent for longer than 1.5 heartbeats is dead.
        frame = await asyncio.wait_for(self.connection.recv(), 1.5 * self.hello["heartbeat"])
        assert isinstance(frame, str)
        assert "\n" not in frame
        found = json.loads(frame)
        assert isinstance(found, dict)
        return found

    async def message(self) -> str | bytes:
        """The next message."""
        while "type" in (frame := await self.frame()):
            self._note(frame)
        assert self.bye is None
        return base64.b64decode(frame["base64"]) if "base64" in frame else str(frame["data"])

    async def read_to_the_end(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._note(await self.frame())
        assert self.bye is not None
        assert (self.bye["code"], self.bye["reason"]) == (self.connection.close_code, self.connection.close_reason)

    def _note(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "lost":
            self.lost += frame["messages"]
        elif frame["type"] == "heartbeat":
            self.heartbeats += 1
        elif frame["type"] == "bye":
            self.bye = frame


Open = Callable[..., Any]


@pytest.fixture
async def listen() -> AsyncIterator[Open]:
    opened: list[Client] = []

    async def listen(server: Server, target: str, *beside: str, **options: Any) -> Client:
        opened.append(await Client.connect(server, target, *beside, **options))
        return opened[-1]

    yield listen
    for client in opened:
        await client.connection.close()


@EVERYWHERE
async def test_client_hears_what_a_plain_websocket_hears(
    start: Start, start_server: servers.Starter, listen: Open, http: Talk
) -> None:
    server = start(start_server)
    client = await listen(server, "/orders/42", "eventcast", "eventcast.token.x")
    expected = {"server": f"eventcast/{eventcast.__version__}", "heartbeat": 20, "channel": "/orders/42"}
    assert client.hello == {"type": "hello", "publish": False} | expected
    speaker = http(server)
    for data in ("text", "张三", "", '{"type": "hello"}', b"\x00\xff", b""):
        kind = "application/octet-stream" if isinstance(data, bytes) else "text/plain"
        assert (await speaker.post("/orders/42", data, kind)).status == 201
        assert await client.message() == data
    async with connect(f"{server.url.replace('http', 'ws')}/orders/42") as plain:
        assert plain.subprotocol is None
        await speaker.post("/orders/42", "x")
        assert await asyncio.wait_for(plain.recv(), TIMEOUT) == "x"
    by_pattern = await listen(server, f"/-/subscribe?pattern={quote('/orders/<int:id>')}")
    assert by_pattern.hello["pattern"] == "/orders/<int:id>"
    await speaker.post("/orders/42", b"\xff", "application/octet-stream")
    frame = await by_pattern.frame()
    assert (frame["channel"], frame["base64"]) == ("/orders/42", "/w==")
    assert [await client.message() for _ in range(2)] == ["x", b"\xff"]


@EVERYWHERE
async def test_client_that_did_not_read_is_told_how_much_it_has_lost_and_stays(
    start: Start, start_server: servers.Starter, listen: Open, http: Talk
) -> None:
    server = start(start_server, env={"EVENTCAST_SUBSCRIBER_BUFFER": "100000"})
    client = await listen(server, "/a", max_queue=1, compression=None)
    speaker = http(server)
    for number in range(150):  # 15 MB, far more than fits into the buffers of the kernel
        assert (await speaker.post("/a", f"{number:06}" + "x" * 100_000)).status == 201
    heard = []
    while not heard or heard[-1] < 149:
        heard.append(int((await client.message())[:6]))
        if client.lost and len(heard) > 1 and heard[-1] != heard[-2] + 1:
            assert client.lost == heard[-1] - heard[-2] - 1  # It is told in the place of the gap.
    assert client.lost > 0
    assert len(heard) + client.lost == 150
    assert (await speaker.post("/a", "and on")).status == 201
    assert await client.message() == "and on"


@OURS
async def test_client_is_told_goodbye(start: Start, start_server: servers.Starter, listen: Open) -> None:
    server = start(start_server)
    client = await listen(server, "/a")
    server.terminate()
    await client.read_to_the_end()
    assert client.connection.close_code == 1001
    assert client.bye == {"type": "bye", "code": 1001, "reason": "The server is going away.", "retry": [0.5, 4]}


@OURS
async def test_client_hears_a_heartbeat_as_often_as_hello_says(
    start: Start, start_server: servers.Starter, listen: Open
) -> None:
    client = await listen(start(start_server, "--ping-interval", "1"), "/a")
    assert client.hello["heartbeat"] == 1
    assert [await client.frame() for _ in range(3)] == [{"type": "heartbeat"}] * 3


@EVERYWHERE
async def test_client_publishes_objects(start: Start, start_server: servers.Starter, listen: Open) -> None:
    server = start(start_server, env={"EVENTCAST_WEBSOCKET_PUBLISH": "1"})
    client = await listen(server, "/a")
    assert client.hello["publish"] is True
    for frame in ('{"data": "hello"}', '{"type": "of tomorrow"}', '{"base64": "/w==", "else": 1}', b'{"data": ""}'):
        await client.connection.send(frame)
    assert [await client.message() for _ in range(3)] == ["hello", b"\xff", ""]
    await client.connection.send("hello")
    await client.read_to_the_end()
    assert client.connection.close_code == 1008
    assert client.bye is not None
    assert client.bye["retry"] == [15, 30]


@EVERYWHERE
async def test_client_that_only_listens_is_told_why_it_is_closed(
    start: Start, start_server: servers.Starter, listen: Open
) -> None:
    server = start(start_server)
    client = await listen(server, "/a")
    with contextlib.suppress(ConnectionClosed):
        for _ in range(1000):
            await client.connection.send('{"data": "ignored"}')
    await client.read_to_the_end()
    assert client.connection.close_code == 1008
