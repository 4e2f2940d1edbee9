"""One legal request, however large, reaches each client that reads, and closes none."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.live import servers
from tests.live.bodies import MIB
from tests.live.conftest import Start, Talk
from tests.live.members import Member, join
from tests.live.servers import ROOT, Server, Starter
from tests.live.waiting import until

NDJSON = "application/x-ndjson"
PATTERN = "/delivery/<str:name>"
SERVERS = [servers.serve, servers.daphne, servers.uvicorn]
ALL_WAYS = ("websocket", "websocket", "sse", "ndjson", "pattern")


JoinAll = Callable[[Server, str], Awaitable[list[Member]]]


@pytest.fixture
async def join_all() -> AsyncIterator[JoinAll]:
    """Subscribes to a channel by each way."""
    members: list[Member] = []

    async def join_all(server: Server, channel: str) -> list[Member]:
        members.extend([await join(server.port, way, channel, PATTERN) for way in ALL_WAYS])
        return members

    yield join_all
    for member in members:
        member.abort()
    await until(lambda: all(member.over for member in members))


async def check_all_heard(members: list[Member], expected: list[str], timeout: float = 60) -> None:
    def done() -> bool:
        return all(len(member.heard) >= len(expected) or member.over for member in members)

    await until(done, "all have heard", timeout)
    assert [member.over for member in members] == [False] * len(members)
    assert all(member.heard == expected for member in members)


@pytest.mark.parametrize(("count", "size"), [(12, 100_000), (80, 100_000), (1500, 1000), (7500, 1000)])
@pytest.mark.parametrize("start_server", SERVERS)
async def test_one_request_of_many_lines_reaches_all_that_read(
    start_server: Starter, count: int, size: int, start: Start, join_all: JoinAll, http: Talk
) -> None:
    server, channel = start(start_server), "/delivery/lines"
    members = await join_all(server, channel)
    lines = [f"{number} ".ljust(size, "x") for number in range(count)]
    answer = await http(server).post(channel, "\n".join(lines), NDJSON, timeout=60)
    assert answer.json()["messages"] == count
    await check_all_heard(members, lines)


@pytest.mark.parametrize("start_server", [servers.daphne, pytest.param(servers.uvicorn, marks=pytest.mark.slow)])
async def test_hundred_thousand_lines_of_the_command_reach_all_that_read(
    start_server: Starter, start: Start, join_all: JoinAll
) -> None:
    # With room for all of it: clients that get little of a busy processor are too slow, and would be closed.
    server = start(start_server, env={"EVENTCAST_SUBSCRIBER_BUFFER": str(64 * MIB)})
    channel = "/delivery/numbers"
    members = await join_all(server, channel)
    lines = [str(number) for number in range(1, 100_001)]
    publishing = await asyncio.create_subprocess_exec(
        *(sys.executable, "manage.py", "eventcast", "publish", "--url", server.url, channel, "-"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "eventcast_project.settings"},
    )
    await asyncio.wait_for(publishing.communicate("\n".join(lines).encode() + b"\n"), 240)
    assert publishing.returncode == 0
    await check_all_heard(members, lines, 240)


@pytest.mark.parametrize("start_server", SERVERS)
async def test_streams_that_leave_while_messages_pass_leave_no_subscriber(
    start_server: Starter, start: Start, http: Talk
) -> None:
    server, channel = start(start_server), "/delivery/leaving"
    speaker, rounds, crowd = http(server), 10, 100
    stopped = asyncio.Event()

    async def publish_on() -> None:
        while not stopped.is_set():
            await speaker.post(channel, "x" * 1000)

    publishing = asyncio.create_task(publish_on())
    asking = http(server)
    for number in range(rounds):
        way = ("sse", "ndjson")[number % 2]
        members = await asyncio.gather(*(join(server.port, way, channel, PATTERN) for _ in range(crowd)))
        for index, member in enumerate(members):
            (member.abort, member.reset)[index % 2]()
            await asyncio.sleep(0)
    await asking.wait_for_count(channel, 0)
    stopped.set()
    await publishing
    assert (await speaker.post(channel, "nothing is left")).status == 202
