"""SIGTERM in the middle of everything: the server goes, soon, and says so to those who listen."""

from __future__ import annotations

import asyncio
import signal
import socket

import pytest

from tests.live import servers
from tests.live.clients import HandshakeRefused, WebSocket
from tests.live.conftest import Connect, Open, Start, Talk
from tests.live.http_client import HTTP
from tests.live.servers import Server
from tests.live.waiting import until

PUBLISHERS, SUBSCRIBERS = 8, 30
LIMIT = 5.0
"""Seconds that a server may take to exit."""


async def publish_on_and_on(speaker: HTTP, target: str, answers: list[int]) -> None:
    """Until the server does not answer any more."""
    while True:
        try:
            answers.append((await speaker.post(target, f"message {len(answers)}")).status)
        except OSError:
            return


async def exit_of(server: Server) -> int:
    """Wait for the end of the server's process; returns its exit code."""
    await until(lambda: server.process.poll() is not None, f"exit of the server\n{server.log}", LIMIT)
    return int(server.process.returncode)


@pytest.mark.parametrize("busy", [27, *(pytest.param(busy, marks=pytest.mark.slow) for busy in (20, 41))])
@pytest.mark.parametrize("start_server", [servers.daphne, servers.serve])
async def test_sigterm_under_load_ends_it_with_1001(
    start_server: servers.Starter, busy: int, start: Start, channel: str, connect: Connect, http: Talk
) -> None:
    server = start(start_server)
    listeners = [await connect(server, channel) for _ in range(SUBSCRIBERS)]
    answers: list[list[int]] = [[] for _ in range(PUBLISHERS)]
    tasks = [asyncio.create_task(publish_on_and_on(http(server), channel, mine)) for mine in answers]
    # Several times, since it differs what the publishers are about when the signal comes.
    await until(lambda: all(len(mine) > busy for mine in answers), "all publishers are busy")
    server.terminate()
    exit_code = await exit_of(server)
    await asyncio.gather(*tasks)
    codes = [await listener.wait_closed() for listener in listeners]
    assert codes == [1001] * SUBSCRIBERS
    assert exit_code == 0
    for mine in answers:
        # 202 when the listeners have been sent away and the speakers not yet.
        assert mine == sorted(mine)
        assert set(mine) <= {201, 202}
    published = sum(mine.count(201) for mine in answers)
    # Nobody misses more than what was on its way when the signal came, one message of each publisher.
    assert all(len(listener.messages) >= published - PUBLISHERS for listener in listeners)


@pytest.mark.parametrize("start_server", [servers.daphne, servers.serve])
async def test_sigint_ends_it_like_sigterm(
    start_server: servers.Starter, start: Start, channel: str, connect: Connect
) -> None:
    server = start(start_server)
    listener = await connect(server, channel)
    server.process.send_signal(signal.SIGINT)
    await exit_of(server)
    assert await listener.wait_closed() == 1001
    assert listener.close_reason


async def test_sigterm_ends_it_before_anybody_came(start: Start) -> None:
    server = start(servers.daphne)
    # Daphne says that it listens before it handles signals. Its HTTP answers this, and no application is asked.
    with socket.create_connection(("127.0.0.1", server.port), 60) as probe:
        probe.sendall(b"no request\r\n\r\n")
        assert probe.recv(100).startswith(b"HTTP/1.1 400 ")
    server.terminate()
    assert await exit_of(server) == 0


async def test_sigterm_ends_it_with_half_a_request_and_a_new_socket(
    start: Start, channel: str, connect: Connect, http: Talk
) -> None:
    server = start(servers.daphne)
    half = http(server)
    await half.send(half.encode("POST", channel, b"x" * 1000)[:-1])
    await connect(server, channel)
    listener = await connect(server, channel)
    server.terminate()
    await exit_of(server)
    assert await listener.wait_closed() == 1001


@pytest.mark.parametrize("start_server", [servers.daphne, servers.serve])
async def test_sigterm_does_not_wait_for_who_never_reads(
    start_server: servers.Starter, start: Start, channel: str, connect: Connect, http: Talk
) -> None:
    server = start(start_server)
    sleeper = await connect(server, channel, receive_buffer=4096)
    listener = await connect(server, channel)
    sleeper.stop_reading()
    speaker = http(server)
    # More than the kernel takes on its way, less than what makes the server close it.
    for _ in range(6):
        assert (await speaker.post(channel, b"x" * 500_000)).status == 201
    await listener.receive_many(6)
    server.terminate()
    await exit_of(server)
    assert await listener.wait_closed() == 1001


async def test_site_with_sync_view_that_publishes_ends_on_sigterm(start: Start, connect: Connect, http: Talk) -> None:
    server = start(servers.daphne, application=servers.SITE, env={"DJANGO_SETTINGS_MODULE": "tests.live.site_settings"})
    listeners = [await connect(server, "/live/orders/7") for _ in range(SUBSCRIBERS)]
    answers: list[list[int]] = [[] for _ in range(PUBLISHERS)]
    tasks = [asyncio.create_task(publish_on_and_on(http(server), "/orders/7/pay/", mine)) for mine in answers]
    await until(lambda: all(len(mine) > 5 for mine in answers), "all publishers are busy")
    server.terminate()
    await exit_of(server)
    await asyncio.gather(*tasks)
    codes = [await listener.wait_closed() for listener in listeners]
    assert codes == [1001] * SUBSCRIBERS


async def test_client_is_not_let_in_while_the_server_goes(start: Start, channel: str, connect: Connect) -> None:
    server = start(servers.daphne)
    listener = await connect(server, channel)
    server.terminate()
    late: list[WebSocket] = []
    while server.process.poll() is None:
        try:
            late.append(await connect(server, channel, timeout=1))
        except (HandshakeRefused, OSError, asyncio.TimeoutError):
            await asyncio.sleep(0.005)
    assert await listener.wait_closed() == 1001
    for client in late:
        assert await client.wait_closed() == 1001


@pytest.mark.parametrize("form", ["text/event-stream", pytest.param("application/x-ndjson", marks=pytest.mark.slow)])
@pytest.mark.parametrize("start_server", [servers.serve, servers.daphne, servers.uvicorn, servers.granian])
async def test_open_stream_does_not_keep_the_server_from_stopping(
    start_server: servers.Starter, form: str, start: Start, channel: str, listen: Open, http: Talk
) -> None:
    server = start(start_server)
    await listen(server, channel, form)
    assert await http(server).count(channel) == 1
    server.terminate()
    await exit_of(server)
