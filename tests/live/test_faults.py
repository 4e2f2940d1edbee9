"""Faults inside a server's process that must not make it hang or deaf."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.live import servers
from tests.live.conftest import Connect, Open, Start, Talk
from tests.live.inside import ROADS, SETTINGS
from tests.live.members import join
from tests.live.servers import Starter

SERVERS = [servers.serve, servers.daphne, servers.uvicorn]
SMALL = {"EVENTCAST_MAX_BODY_SIZE": "60000", "EVENTCAST_MAX_MESSAGE_SIZE": "60000"}


@pytest.mark.parametrize("start_server", SERVERS)
async def test_finalizers_that_log_and_publish_anywhere_hang_nothing(
    start_server: Starter, start: Start, connect: Connect, listen: Open, http: Talk
) -> None:
    env = {"EVENTCAST_PUBLISH_RATE": "1000000", "EVENTCAST_MAX_SUBSCRIBERS_PER_ADDRESS": "1000"}
    server = start(start_server, env=SETTINGS | env)
    log, listener = await connect(server, "/log"), await connect(server, "/a")

    async def litter() -> None:
        speaker = http(server)
        for _ in range(20):
            assert (await speaker.post("/admin/inside/litter", "")).status == 200
            assert await log.receive() == "a finalizer has run"

    async def come_and_go() -> None:
        for _ in range(10):
            await (await connect(server, "/b")).leave()
            (await listen(server, "/b", "text/event-stream")).cut()

    async def be_refused() -> None:
        refused = http(server)
        for _ in range(10):
            assert (await refused.post("/a", "no field", "application/x-www-form-urlencoded")).status == 400
            assert (await refused.request("GET", "/-/metrics")).status in (200, 404)

    async def publish(road: str) -> None:
        wanted = {"road": road, "channel": "/a", "publisher": road, "sizes": [30] * 100}
        answer = await http(server).post("/admin/inside/publish", json.dumps(wanted), "application/json")
        assert answer.status == 200

    await asyncio.gather(litter(), come_and_go(), be_refused(), *(publish(road) for road in ROADS))
    assert len(await listener.receive_many(100 * len(ROADS))) == 100 * len(ROADS)


@pytest.mark.parametrize("start_server", SERVERS)
async def test_log_handler_that_fails_while_messages_are_written_makes_no_channel_deaf(
    start_server: Starter, start: Start, connect: Connect, http: Talk
) -> None:
    server = start(start_server, env=SETTINGS | {"EVENTCAST_SUBSCRIBER_BUFFER": "100000"} | SMALL)
    server.allows_tracebacks = True
    reader, elsewhere, speaker = await connect(server, "/a"), await connect(server, "/b"), http(server)
    sleeper = await join(server.port, "websocket", "/a", "", reads=False)
    assert (await speaker.post("/admin/inside/log-handler-fails", "")).status == 200
    published = 0
    while await speaker.count("/a") > 1:  # The sleeper is closed when it is owed too much, and a line is logged.
        assert (await speaker.post("/a", "x" * 50_000)).status == 201
        published += 1
    assert len(await reader.receive_many(published)) == published
    for channel, listener in (("/a", reader), ("/b", elsewhere)):
        assert (await speaker.post(channel, "still here")).status == 201
        assert await listener.receive() == "still here"
    sleeper.abort()
