"""The site's own consumers in several processes: they reach each other by the layer that eventcast brings."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.live import servers
from tests.live.clients import WebSocket
from tests.live.conftest import Connect, Start, Talk
from tests.live.redis_server import Redis
from tests.live.servers import Server
from tests.live.waiting import until

SOCKETS = 16
TEXT = 1
FORM = "application/x-www-form-urlencoded"


async def enter(connect: Connect, server: Server) -> tuple[WebSocket, dict[str, Any]]:
    """A socket in the room, and what the site has said of it."""
    socket = await connect(server, "/ws/room/")
    return socket, json.loads(await socket.receive())


def say(socket: WebSocket, **content: str) -> None:
    socket.send_frame(TEXT, json.dumps(content).encode())


async def check_room(entered: list[tuple[WebSocket, dict[str, Any]]], processes: int) -> None:
    """Fail unless all hear what each process says, once, and one alone what is said to it."""
    speakers = {about["process"]: (socket, about) for socket, about in entered}
    assert len(speakers) == processes
    for process, (socket, _) in speakers.items():
        say(socket, text=f"from {process}")
        for listener, _ in entered:
            assert json.loads(await listener.receive()) == f"from {process}"
    (one, _), (other, about) = list(speakers.values())[:2]
    say(one, text="for you", to=about["channel"])
    assert json.loads(await other.receive()) == "for you"


async def check_view(entered: list[tuple[WebSocket, dict[str, Any]]], answers: list[Any]) -> None:
    """Fail unless all hear what the site's view has said, in the order of its answers."""
    assert [answer.status for answer in answers] == [204] * len(answers)
    for listener, _ in entered:
        assert [json.loads(await listener.receive()) for _ in answers] == [f"view {n}" for n in range(len(answers))]
        assert not listener.messages


async def check_counts(connect: Connect, running: list[Server], http: Talk) -> None:
    """Fail unless the site's sync and async views are told how many subscribers all processes have."""
    listeners = [await connect(server, "/live/orders/7") for server in running for _ in range(SOCKETS // len(running))]
    site = http(running[0])

    async def counts_all(view: str) -> bool:
        answer = await site.post(f"/orders/7/{view}/", "", FORM)
        return bool(answer.json() == {"subscribers": len(listeners)})

    for view in ("pay", "pack", "deliver"):  # Each again, if a process on a busy machine has not counted in time.
        await until(lambda view=view: counts_all(view), f"{view} counts all")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers need Linux")
async def test_consumers_of_a_site_reach_those_of_other_workers(start: Start, connect: Connect, http: Talk) -> None:
    server = start(servers.serve, "--workers", "2", env={"DJANGO_SETTINGS_MODULE": "tests.site.settings"})
    entered = [await enter(connect, server) for _ in range(SOCKETS)]
    await check_room(entered, 2)
    answers = [await http(server).post("/room/", f"data=view {number}", FORM) for number in range(4)]
    await check_view(entered, answers)
    await check_counts(connect, [server], http)


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
async def test_consumers_of_a_site_reach_those_of_other_processes_by_redis(
    tmp_path: Path, start: Start, connect: Connect, http: Talk
) -> None:
    pytest.importorskip("redis")
    redis = Redis(tmp_path)
    try:
        url = f"redis://127.0.0.1:{redis.port}/0"
        env = {"DJANGO_SETTINGS_MODULE": "tests.live.site_redis_settings", "TEST_REDIS": url}
        running = await asyncio.gather(*(asyncio.to_thread(start, servers.serve, env=env) for _ in range(2)))
        entered = [await enter(connect, running[number % 2]) for number in range(4)]
        await check_room(entered, 2)
        answers = [await http(running[n % 2]).post("/room/", f"data=view {n}", FORM) for n in range(4)]
        await check_view(entered, answers)
        await check_counts(connect, running, http)
    finally:
        redis.stop()
