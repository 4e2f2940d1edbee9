"""Limits against running servers: what is one too many is refused, is counted, and harms nobody else."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterator

import pytest

from tests.live import servers
from tests.live.clients import HandshakeRefused
from tests.live.conftest import Connect, Fleet, Open, Start, Talk, check_log
from tests.live.frames import TEXT
from tests.live.http_client import HTTP, Headers
from tests.live.raw import Raw
from tests.live.servers import Server
from tests.live.waiting import until

LIMITS = {
    "EVENTCAST_MAX_SUBSCRIBERS": "5",
    "EVENTCAST_MAX_SUBSCRIBERS_PER_CHANNEL": "3",
    "EVENTCAST_MAX_SUBSCRIBERS_PER_ADDRESS": "2",
    "EVENTCAST_MAX_PATTERNS": "1",
    "EVENTCAST_PUBLISH_RATE": "1",
    "EVENTCAST_PUBLISH_BURST": "5",
    "EVENTCAST_TRUSTED_PROXIES": "127.0.0.1",
}


@pytest.fixture(scope="module", params=["daphne", "serve"])
def limited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with every limit set low, that believes what its clients say of whom they speak for."""
    fleet = Fleet(tmp_path_factory.mktemp("limits"))
    yield fleet.start(getattr(servers, request.param), env=LIMITS)
    fleet.stop()


@pytest.fixture
async def server(limited: Server, http: Talk) -> Server:
    async def is_empty() -> bool:
        listed = (await http(limited).request("GET", "/-/channels")).json()
        return bool(listed["total"]["subscribers"] == 0)

    await until(is_empty, "no subscribers of the test before")
    check_log(limited)
    return limited


def from_address(address: str) -> Headers:
    return [("X-Forwarded-For", address)]


async def refused(attempt: object) -> tuple[int, str]:
    with pytest.raises(HandshakeRefused) as refusal:
        await attempt  # type: ignore[misc]
    assert int(refusal.value.headers["retry-after"]) >= 1
    return refusal.value.status, refusal.value.error


async def count_of(client: HTTP, code: str) -> int:
    return int((await client.request("GET", "/-/channels")).json()["refused"].get(code, 0))


# --- subscribers ------------------------------------------------------------------------------------------------------


async def test_one_subscriber_too_many_is_refused(server: Server, connect: Connect) -> None:
    for number in range(5):
        await connect(server, f"/{number}", headers=from_address(f"192.0.2.{number}"))
    assert await refused(connect(server, "/a", headers=from_address("192.0.2.99"))) == (503, "server_full")


async def test_one_too_many_for_a_channel_is_refused(server: Server, connect: Connect, http: Talk) -> None:
    before = await count_of(http(server), "channel_full")
    for number in range(3):
        await connect(server, "/a", headers=from_address(f"192.0.2.{number}"))
    assert await refused(connect(server, "/a", headers=from_address("192.0.2.99"))) == (503, "channel_full")
    await connect(server, "/b", headers=from_address("192.0.2.99"))
    assert await count_of(http(server), "channel_full") == before + 1


async def test_one_too_many_from_an_address_is_refused(server: Server, connect: Connect) -> None:
    for number in range(2):
        await connect(server, f"/{number}", headers=from_address(f"2001:db8::{number + 1}"))
    assert await refused(connect(server, "/a", headers=from_address("2001:db8::3"))) == (429, "too_many_connections")
    await connect(server, "/a", headers=from_address("2001:db8:0:1::1"))


async def test_one_pattern_too_many_is_refused(server: Server, connect: Connect) -> None:
    await connect(server, "/-/subscribe?pattern=/x/%3Ca%3E", headers=from_address("192.0.2.1"))
    other = connect(server, "/-/subscribe?pattern=/y/%3Ca%3E", headers=from_address("192.0.2.2"))
    assert await refused(other) == (503, "too_many_patterns")


async def test_limits_hold_for_streams(server: Server, listen: Open, http: Talk) -> None:
    for _ in range(2):
        await listen(server, "/a", "text/event-stream")  # both from 127.0.0.1
    answer = await http(server).request("GET", "/a", headers=[("Accept", "text/event-stream")])
    assert (answer.status, answer.error, answer.headers["retry-after"]) == (429, "too_many_connections", "10")


async def test_those_who_come_at_once_are_counted_exactly(server: Server, connect: Connect) -> None:
    attempts = [connect(server, "/a", headers=from_address(f"192.0.2.{number}")) for number in range(30)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(result, HandshakeRefused) for result in results) == 27


@pytest.mark.parametrize("way", ["close", "reset", "stream"])
async def test_place_is_free_again_whichever_way_somebody_left(
    way: str, server: Server, connect: Connect, listen: Open
) -> None:
    for _ in range(2):
        if way == "stream":
            (await listen(server, "/a", "application/x-ndjson")).cut()
        else:
            client = await connect(server, "/a")
            await (client.leave() if way == "close" else client.reset())

    async def is_let_in() -> bool:
        try:
            return bool(await connect(server, "/a"))
        except HandshakeRefused:
            return False

    for _ in range(2):
        await until(is_let_in, "a free place")


# --- publishing -------------------------------------------------------------------------------------------------------


async def test_one_publish_too_many_is_refused(server: Server, http: Talk) -> None:
    speaker = http(server)

    async def publish(address: str) -> int:
        answer = await speaker.request("POST", "/a", b"x", [("Content-Type", "text/plain"), *from_address(address)])
        assert answer.status == 202 or (answer.error, answer.headers["retry-after"]) == ("too_many_publishes", "1")
        return answer.status

    statuses: list[int] = []
    while 429 not in statuses[-1:]:  # A busy machine may take so long that the allowance has grown by one.
        statuses.append(await publish("203.0.113.1"))
    assert 5 < len(statuses) < 50
    assert await publish("203.0.113.2") == 202


async def test_batch_over_the_burst_is_refused_and_books_nothing(server: Server, http: Talk) -> None:
    speaker, kind = http(server), ("Content-Type", "application/x-ndjson")

    async def publish(lines: int) -> int:
        answer = await speaker.request("POST", "/a", b"1\n" * lines, [kind, *from_address("203.0.113.3")])
        assert answer.status == 202 or 1 <= int(answer.headers["retry-after"]) <= 5
        return answer.status

    assert [await publish(lines) for lines in (10_000, 4, 3, 1)] == [429, 202, 429, 202]


# --- what listeners send ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start_server", [servers.daphne, servers.serve, servers.uvicorn], ids=lambda it: it.__name__)
async def test_listener_that_floods_is_closed_and_nobody_notices(
    start_server: servers.Starter, start: Start, connect: Connect, http: Talk
) -> None:
    server = start(start_server)
    speaker, good, bad = http(server), await connect(server, "/a"), await connect(server, "/a")
    await speaker.post("/a", "before")
    memory, slowest = server.memory(), 0.0
    for number in range(20):
        if not bad.lost.done():
            for _ in range(1000):
                bad.send_frame(TEXT, b"x" * 100)
        began = time.monotonic()
        await speaker.post("/a", f"{number}")
        slowest = max(slowest, time.monotonic() - began)
    assert await bad.wait_closed() in (1008, None)  # it may be reset for what it goes on sending
    assert await good.receive_many(21) == ["before", *(f"{number}" for number in range(20))]
    assert await count_of(speaker, "too_many_frames") == 1
    assert slowest < 1
    assert server.memory() - memory < 20 * 1024 * 1024


ENDLESS = {
    "empty frames": (b"\x02\x80\0\0\0\0", b"\x00\x80\0\0\0\0" * 300),
    "a large frame": (b"\x82\xff" + struct.pack("!Q", 1_000_000) + b"\0\0\0\0", b"x" * 300_000),
}


@pytest.mark.parametrize("kind", ENDLESS)
async def test_listener_whose_message_does_not_end_is_closed(kind: str, server: Server, http: Talk) -> None:
    before = await count_of(http(server), "too_many_frames")
    endless = await Raw.open(server)
    await endless.upgrade("/a")
    for piece in ENDLESS[kind]:
        await endless.send(piece)
    assert await endless.close_code() == 1008
    assert await count_of(http(server), "too_many_frames") == before + 1
    endless.cut()


async def test_small_talk_of_a_listener_is_ignored(server: Server, connect: Connect) -> None:
    client = await connect(server, "/a", headers=from_address("192.0.2.1"))
    for _ in range(100):
        client.send_frame(TEXT, b"are you there?")
    await client.ping()


# --- metrics ----------------------------------------------------------------------------------------------------------


async def test_refusals_and_limits_stand_in_the_metrics(server: Server, http: Talk, connect: Connect) -> None:
    for number in range(3):
        await connect(server, "/a", headers=from_address(f"192.0.2.{number}"))
    await refused(connect(server, "/a", headers=from_address("192.0.2.99")))
    answer = await http(server).request("GET", "/-/metrics")
    assert b'\neventcast_refused_total{code="channel_full"} ' in answer.body
    assert b'\neventcast_limit{setting="MAX_SUBSCRIBERS_PER_CHANNEL"} 3.0\n' in answer.body
    assert b"\neventcast_subscribers 3.0\n" in answer.body
