"""Frames stay whole, once and in order, whatever happens to the subscribers of a channel at the same time."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict

import pytest

from tests.live import servers
from tests.live.clients import WebSocket
from tests.live.conftest import Connect, Start, Talk
from tests.live.waiting import until

CHANNEL = "/storm"
PUBLISHERS, MESSAGES = 50, 40
FINE, SLOW, STOPPED, LEAVING = 110, 50, 20, 20
SIZES = [0] * 2 + [16] * 20 + [100] * 50 + [1000] * 20 + [60_000] * 7 + [200_000]


def payload(publisher: int, number: int, size: int) -> bytes:
    """A message that tells where it belongs and what it must hold; too small ones are empty."""
    head = publisher.to_bytes(4, "big") + number.to_bytes(4, "big") + size.to_bytes(4, "big")
    return head + bytes((publisher + number) % 256 for _ in range(1)) * (size - len(head)) if size >= len(head) else b""


def check(client: WebSocket) -> int:
    """Check everything a client has got; returns how many messages that were with a number."""
    last: dict[int, int] = defaultdict(lambda: -1)
    count = 0
    for message in client.messages:
        assert isinstance(message, bytes)
        if message:
            publisher, number, size = (int.from_bytes(message[i : i + 4], "big") for i in (0, 4, 8))
            assert message == payload(publisher, number, size), "a message that nobody published"
            assert number > last[publisher], "a message twice, or out of order"
            last[publisher] = number
            count += 1
    return count


@pytest.mark.slow
async def test_broadcast_stays_whole_under_everything_at_once(start: Start, connect: Connect, http: Talk) -> None:
    server = start(servers.daphne, "--ping-interval", "1", env={"EVENTCAST_SLOW_SUBSCRIBERS": "drop"})
    chance = random.Random(7)
    fine = [await connect(server, CHANNEL) for _ in range(FINE)]
    slow = [await connect(server, CHANNEL, receive_buffer=8192) for _ in range(SLOW)]
    stopped = [await connect(server, CHANNEL, receive_buffer=8192) for _ in range(STOPPED)]
    leaving = [await connect(server, CHANNEL) for _ in range(LEAVING)]
    came_back: list[WebSocket] = []
    published, over = 0, False
    numbered = 0

    async def publish(publisher: int) -> None:
        nonlocal published, numbered
        speaker = http(server)
        for number in range(MESSAGES):
            size = 900_000 if (publisher, number) in ((3, 10), (30, 20)) else chance.choice(SIZES)
            data = payload(publisher, number, size)
            response = await speaker.post(CHANNEL, data, "application/octet-stream", timeout=120)
            assert response.status == 201
            published += 1
            numbered += bool(data)

    async def until_published(count: int) -> None:
        await until(lambda: over or published > count, timeout=120)

    async def read_slowly(client: WebSocket) -> None:
        while not over:
            client.stop_reading()
            await until_published(published + 20)
            client.read_on()
            await until_published(published + 5)

    async def stop_for_long(client: WebSocket) -> None:
        client.stop_reading()
        await until_published(PUBLISHERS * MESSAGES // 2)
        client.read_on()

    async def leave_and_come_back(client: WebSocket, at: int) -> None:
        await until_published(at)
        await (client.leave() if at % 2 else client.reset())
        check(client)
        came_back.append(await connect(server, CHANNEL))

    disturbances = [asyncio.create_task(read_slowly(client)) for client in slow]
    disturbances += [asyncio.create_task(stop_for_long(client)) for client in stopped]
    disturbances += [asyncio.create_task(leave_and_come_back(client, 30 * i)) for i, client in enumerate(leaving)]
    await asyncio.gather(*(publish(publisher) for publisher in range(PUBLISHERS)))
    over = True
    await asyncio.gather(*disturbances)
    for client in slow + stopped:
        client.read_on()
    last = payload(PUBLISHERS, 0, 100)

    # Reads what was kept for the slow ones, until a last message has come through to everybody.
    async def hear_the_last(client: WebSocket) -> None:
        await until(lambda: last in list(client.messages)[-50:], timeout=120)

    async def everything_is_read() -> bool:
        seen = [len(client.messages) for client in slow + stopped]
        await asyncio.gather(*(client.ping() for client in slow + stopped))
        return seen == [len(client.messages) for client in slow + stopped]

    await until(everything_is_read, timeout=120)
    assert (await http(server).post(CHANNEL, last, "application/octet-stream")).status == 201
    stayed = fine + slow + stopped
    await asyncio.gather(*(hear_the_last(client) for client in stayed + came_back))

    missing = sum(numbered + 1 - check(client) for client in stayed)
    for client in came_back:
        check(client)
    for client in fine:
        assert check(client) == numbered + 1, "a subscriber that reads lost something"
        assert client.pings, "no ping in all that time"
    told = (await http(server).request("GET", "/-/channels")).json()["total"]
    assert missing <= told["lost"], "more is missing than the server has counted as lost"
