"""A subscriber that does not read costs the server its buffer and nobody else anything."""

from __future__ import annotations

import asyncio

import pytest

from tests.live import servers
from tests.live.conftest import Connect, Start, Talk
from tests.live.waiting import until

CHANNEL = "/flood"
MIB = 1024 * 1024
SIZE = 64 * 1024
MESSAGES = 1024 * MIB // SIZE
WARM_UP = MESSAGES // 8
ROUNDS = 3


async def flood(http: Talk, server: servers.Server, messages: int, size: int) -> None:
    """Publish from four connections at once."""

    async def publish() -> None:
        speaker = http(server)
        for _ in range(messages // 4):
            assert (await speaker.post(CHANNEL, b"x" * size, "application/octet-stream", timeout=60)).status in (
                201,
                202,
            )

    await asyncio.gather(*(publish() for _ in range(4)))


@pytest.mark.slow
@pytest.mark.alone
async def test_subscriber_that_never_reads_costs_less_than_four_mebibytes(
    start: Start, connect: Connect, http: Talk
) -> None:
    server = start(servers.daphne, env={"EVENTCAST_SLOW_SUBSCRIBERS": "drop"})
    reader = await connect(server, CHANNEL)
    # What a server that publishes so much needs anyway is not the slow subscriber's fault. That grows for a while, by
    # how far the reader falls behind, and by what the allocator keeps.
    before, settled = 0, False
    while not settled:
        await asyncio.gather(flood(http, server, WARM_UP, SIZE), reader.receive_many(WARM_UP, timeout=60))
        memory = server.memory()
        before, settled = max(before, memory), memory - before < MIB // 8
    sleeper = await connect(server, CHANNEL, receive_buffer=8192)
    sleeper.stop_reading()

    async def take_what_comes() -> int:
        taken = 0
        while taken < MESSAGES:
            await reader.receive(timeout=60)
            taken += 1
        return taken

    taking = asyncio.create_task(take_what_comes())
    await flood(http, server, MESSAGES, SIZE)
    assert await taking == MESSAGES
    # What the allocator kept while the reader fell behind goes again; what is kept for the sleeper stays.
    for _ in range(ROUNDS):
        if server.memory() - before < 4 * MIB:
            break
        await asyncio.gather(flood(http, server, WARM_UP, SIZE), reader.receive_many(WARM_UP, timeout=60))
    assert server.memory() - before < 4 * MIB
    lost = (await http(server).request("GET", CHANNEL)).json()["lost"]
    assert lost > MESSAGES / 2, "the sleeper's losses were not counted"


@pytest.mark.parametrize(("kind", "transport"), [("serve", "auto"), ("daphne", "auto"), ("daphne", "asgi")])
@pytest.mark.parametrize("policy", ["close", "drop"])
async def test_losses_are_what_a_slow_subscriber_did_not_get(
    start: Start, connect: Connect, http: Talk, policy: str, kind: str, transport: str
) -> None:
    env = {"EVENTCAST_SLOW_SUBSCRIBERS": policy, "EVENTCAST_TRANSPORT": transport}
    server = start(getattr(servers, kind), env=env | {"EVENTCAST_SUBSCRIBER_BUFFER": "100000"})
    reader = await connect(server, CHANNEL)
    sleeper = await connect(server, CHANNEL, receive_buffer=8192)
    sleeper.stop_reading()
    await flood(http, server, 1000, 10_000)
    assert len(await reader.receive_many(1000, timeout=60)) == 1000
    lost = (await http(server).request("GET", "/-/channels")).json()["total"]["lost"]
    assert lost > 0
    sleeper.read_on()
    if policy == "close":
        assert await sleeper.wait_closed() in (1013, None)
        assert "Closing a slow subscriber of '/flood'" in server.log
        assert await http(server).count(CHANNEL) == 1
    else:
        # In drop mode it stays, and has everything but what was counted.
        await until(lambda: len(sleeper.messages) == 1000 - lost, timeout=30)
        await sleeper.ping()
        assert len(sleeper.messages) == 1000 - lost
        assert server.log.count("Dropping messages for a slow subscriber of '/flood'") >= 1
        assert (await http(server).post(CHANNEL, b"again", "application/octet-stream")).status == 201
        await until(lambda: sleeper.messages[-1] == b"again", timeout=30)


@pytest.mark.parametrize("kind", ["serve", "daphne"])
async def test_subscriber_closed_for_slowness_hears_why_if_it_reads_again_at_once(
    start: Start, connect: Connect, http: Talk, kind: str
) -> None:
    server = start(getattr(servers, kind), env={"EVENTCAST_SUBSCRIBER_BUFFER": "100000"})
    sleeper = await connect(server, CHANNEL, receive_buffer=8192)
    sleeper.stop_reading()
    speaker = http(server)
    while "Closing a slow subscriber" not in server.log:
        await speaker.post(CHANNEL, b"x" * 50_000, "application/octet-stream")
    sleeper.read_on()
    assert await sleeper.wait_closed() == 1013
    assert "faster" in sleeper.close_reason
    await speaker.wait_for_count(CHANNEL, 0)
