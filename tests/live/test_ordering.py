"""Everything, to everybody, in each publisher's order: bursts of publishes over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from tests.live import servers
from tests.live.conftest import Connect, Start, Talk
from tests.live.http_client import HTTP
from tests.live.servers import Server

PUBLISHERS, SUBSCRIBERS, BURST = 8, 20, 500


async def publish_in_bursts(speaker: HTTP, target: str, publisher: int, count: int) -> None:
    """Bursts of requests that leave in one write, on one connection, each with its number."""
    plain = [("Content-Type", "text/plain")]
    for first in range(0, count, BURST):
        numbers = range(first, min(first + BURST, count))
        await speaker.send(
            b"".join(speaker.encode("POST", target, f"{publisher} {number}".encode(), plain) for number in numbers)
        )
        for _ in numbers:
            answer = await speaker.read_response()
            assert (answer.status, answer.json()["subscribers"]) == (201, SUBSCRIBERS)


def check_order(messages: list[str | bytes], publishers: int, each: int) -> None:
    """Every message of every publisher, once, in the publisher's order."""
    assert len(messages) == publishers * each
    awaited = [0] * publishers
    for message in messages:
        assert isinstance(message, str)
        publisher, number = map(int, message.split())
        assert number == awaited[publisher]
        awaited[publisher] += 1
    assert awaited == [each] * publishers


@pytest.mark.parametrize(
    ("transport", "messages"), [("auto", 4_000), ("asgi", 4_000), pytest.param("auto", 20_000, marks=pytest.mark.slow)]
)
async def test_bursts_reach_everybody_in_order(
    transport: str, messages: int, start: Start, channel: str, connect: Connect, http: Talk
) -> None:
    server = start(servers.daphne, env={"EVENTCAST_TRANSPORT": transport})
    listeners = [await connect(server, channel) for _ in range(SUBSCRIBERS)]
    each = messages // PUBLISHERS
    await asyncio.gather(*(publish_in_bursts(http(server), channel, number, each) for number in range(PUBLISHERS)))
    for listener in listeners:
        check_order(await listener.receive_many(messages), PUBLISHERS, each)
        await listener.ping()
        assert not listener.messages


async def test_batch_of_many_lines_arrives_in_order(server: Server, channel: str, connect: Connect, http: Talk) -> None:
    listeners = [await connect(server, channel) for _ in range(SUBSCRIBERS)]
    lines = "".join(f"0 {number}\n" for number in range(5_000))
    answer = await http(server).post(channel, lines, "application/x-ndjson")
    assert (answer.status, answer.json()["messages"]) == (201, 5_000)
    for listener in listeners:
        check_order(await listener.receive_many(5_000), 1, 5_000)


async def test_channels_do_not_mix(server: Server, channel: str, connect: Connect, http: Talk) -> None:
    each = 50
    names = [f"{channel}/{number}" for number in range(50)]
    listeners = {}
    for name in names:
        listeners[name] = [await connect(server, name) for _ in range(2)]

    async def publish(speaker: HTTP) -> None:
        for number in range(each):
            for name in names[:: PUBLISHERS // 2]:
                assert (await speaker.post(name, f"{name} {number}")).json()["subscribers"] == 2

    await asyncio.gather(publish(http(server)), publish(http(server)))
    for index, name in enumerate(names):
        for listener in listeners[name]:
            expected = 2 * each if index % (PUBLISHERS // 2) == 0 else 0
            found = await listener.receive_many(expected)
            assert sorted(found) == sorted(f"{name} {number}" for number in [*range(each), *range(each)][:expected])
            await listener.ping()
            assert not listener.messages
