"""Peers that are gone without a word are found by pings, and numbers of their sockets are not written to again."""

from __future__ import annotations

import asyncio

import pytest

from tests.live import servers
from tests.live.clients import WebSocket
from tests.live.conftest import Connect, Start, Talk
from tests.live.waiting import until


async def test_peer_that_answers_no_pings_leaves_the_count(start: Start, connect: Connect, http: Talk) -> None:
    # As half-open connections and pulled cables look to the server: the socket is there, and nobody answers.
    server = start(servers.daphne, "--ping-interval", "1", "--ping-timeout", "2")
    alive = await connect(server, "/dead")
    await connect(server, "/dead", answer_pings=False)
    speaker = http(server)
    assert await speaker.count("/dead") == 2
    await speaker.wait_for_count("/dead", 1)
    assert alive.pings
    assert not alive.lost.done()


@pytest.mark.slow
async def test_socket_number_taken_over_never_gets_the_old_channels_messages(
    start: Start, connect: Connect, http: Talk
) -> None:
    server = start(servers.daphne)
    speaker, rounds, window = http(server), 5_000, 25
    stay = {name: await connect(server, name) for name in ("/one", "/two")}
    over = False

    async def broadcast() -> int:
        count = 0
        while not over:
            for name in ("/one", "/two"):
                assert (await speaker.post(name, f"{name} {count}")).status == 201
            count += 1
        return count

    async def come_and_go(name: str) -> None:
        for i in range(rounds // window):
            client = await WebSocket.connect(server.port, name)
            if i % 2:
                await client.receive()  # stays for at least one message, so that it is in the midst of a broadcast
            await (client.reset() if i % 3 else client.leave())
            assert all(str(message).startswith(f"{name} ") for message in client.messages), "another channel's message"

    broadcasting = asyncio.create_task(broadcast())
    await asyncio.gather(*(come_and_go(name) for name in ("/one", "/two") for _ in range(window)))
    over = True
    count = await broadcasting
    for name, client in stay.items():
        expected = [f"{name} {i}" for i in range(count)]
        await until(lambda client=client: len(client.messages) == count)
        assert list(client.messages) == expected
    await speaker.wait_for_count("/one", 1)
