"""Who is counted is there: however a listener goes, its place is free at once and nothing of it is left."""

from __future__ import annotations

import asyncio
import sys

from tests.live import servers
from tests.live.clients import WebSocket
from tests.live.conftest import Connect, Start, Talk
from tests.live.http_client import HTTP
from tests.live.servers import Server
from tests.live.waiting import until

CROWD = 500
LEAK = 10 * 1024
"""Bytes that a connection may have left behind. While it is there it takes over 20 KiB."""

# What a program that holds a hundred connections does, in a process of its own, until it is killed.
HOLDER = """
import socket, sys
port, path, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
request = (f"GET {path} HTTP/1.1\\r\\nHost: localhost\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nSec-WebSocket-Version: 13\\r\\n\\r\\n").encode()
sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
for sock in sockets:
    sock.sendall(request)
for sock in sockets:
    assert sock.recv(4096).startswith(b"HTTP/1.1 101")
print("ready", flush=True)
sys.stdin.read()
"""


async def test_count_is_right_after_each_kind_of_leaving(
    server: Server, channel: str, connect: Connect, http: Talk
) -> None:
    closes, vanishes, resets, breaks_off, stays = [await connect(server, channel) for _ in range(5)]
    asker = http(server)
    assert await asker.count(channel) == 5
    await closes.leave()
    await asker.wait_for_count(channel, 4)
    vanishes.transport.abort()
    await asker.wait_for_count(channel, 3)
    await resets.reset()
    await asker.wait_for_count(channel, 2)
    breaks_off.transport.write_eof()
    await asker.wait_for_count(channel, 1)
    assert (await asker.post(channel, "hello")).json()["subscribers"] == 1
    assert await stays.receive() == "hello"


async def test_count_is_right_after_a_client_breaks_the_rules(
    server: Server, channel: str, connect: Connect, http: Talk
) -> None:
    asker = http(server)
    for broken in (
        b"\x81\x05hello",
        b"\xf1\x80\0\0\0\0",
        b"\x80\x80\0\0\0\0",
        b"\x83\x80\0\0\0\0",
    ):
        client = await connect(server, channel)
        client.transport.write(broken)
        await client.wait_closed()
        await asker.wait_for_count(channel, 0)


async def test_count_is_right_after_the_kill_of_a_client(server: Server, channel: str, http: Talk) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        HOLDER,
        str(server.port),
        channel,
        "100",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    asker = http(server)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        assert await asker.count(channel) == 100
    finally:
        process.kill()
        await process.communicate()
    await asker.wait_for_count(channel, 0)
    assert (await asker.post(channel, "hello")).status == 202


async def test_silent_client_is_found_by_pings(start: Start, channel: str, connect: Connect, http: Talk) -> None:
    server = start(servers.daphne, "--ping-interval", "1", "--ping-timeout", "1")
    await connect(server, channel, answer_pings=False)
    alive = await connect(server, channel)
    asker = http(server)
    await asker.wait_for_count(channel, 1)
    assert alive.pings
    assert (await asker.post(channel, "hello")).json()["subscribers"] == 1
    assert await alive.receive() == "hello"


async def test_reset_in_the_middle_of_publishing_leaves_no_ghost(
    server: Server, channel: str, connect: Connect, http: Talk
) -> None:
    speaker = http(server)
    for _ in range(20):
        clients = [await connect(server, channel) for _ in range(10)]
        posts = asyncio.create_task(_post_some(http(server), channel))
        await clients[0].receive()
        await asyncio.gather(*(client.reset() for client in clients))
        await posts
    await speaker.wait_for_count(channel, 0)


async def _post_some(speaker: HTTP, channel: str) -> None:
    for number in range(20):
        assert (await speaker.post(channel, str(number) * 1000)).status in (201, 202)


async def crowd_comes_and_goes(server: Server, asker: HTTP) -> None:
    """Two subscribers on each of 250 channels; every other one leaves without a word."""
    clients: list[WebSocket] = []
    for first in range(0, CROWD, 100):
        wave = (WebSocket.connect(server.port, f"/crowd/{number % 250}") for number in range(first, first + 100))
        clients += await asyncio.gather(*wave)
    listed = (await asker.request("GET", "/-/channels?limit=1000")).json()
    assert [info["subscribers"] for info in listed["channels"]] == [CROWD // 250] * 250
    await asyncio.gather(*(client.reset() if index % 2 else client.leave() for index, client in enumerate(clients)))

    async def all_are_gone() -> bool:
        return not (await asker.request("GET", "/-/channels")).json()["channels"]

    await until(all_are_gone, "no channel is live")


async def test_crowds_that_come_and_go_leave_no_memory(start: Start, http: Talk) -> None:
    server = start(servers.daphne)
    asker, memory = http(server), [0]
    # The first crowds fill the allocator's pools, in which the next ones live. Daphne holds a connection for up to a
    # second after its end, so that a busy machine needs some more crowds. What leaks makes every crowd cost the same.
    while server.memory() - memory[-1] > CROWD * LEAK:
        memory.append(server.memory())
        await crowd_comes_and_goes(server, asker)
        assert len(memory) < 12, memory
