"""What many clients cost a server: threads, memory, and the time of others.

``CROWD_ROUNDS`` and ``CROWD_SIZE`` make the rounds of the last test more and larger.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.live import crowds, servers
from tests.live.bodies import MIB
from tests.live.conftest import Start, Talk
from tests.live.http_client import HTTP
from tests.live.inside import SETTINGS
from tests.live.servers import ROOT, Server, Starter
from tests.live.waiting import until

ROUNDS = int(os.environ.get("CROWD_ROUNDS", "12"))
SIZE = int(os.environ.get("CROWD_SIZE", "150"))
MESSAGES = 40

STREAMS, WEBSOCKETS = 500, 2000
PENDING = 64 * MIB
"""``MAX_PENDING_BYTES`` of the server under test."""

DOOR_AND_DAPHNE = [servers.serve, pytest.param(servers.daphne, marks=pytest.mark.slow)]
"""Connecting thousands takes plain Daphne half a minute."""

EXECUTOR = 20
"""Threads that a server may start for work that blocks."""


def threads(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.pid}/task"))


class Watch:
    """Asks again and again in a thread of its own, and remembers the highest answer."""

    def __init__(self, ask: Callable[[], int]) -> None:
        self.highest = ask()
        self._ask = ask
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.005):
            self.highest = max(self.highest, self._ask())

    def stop(self) -> int:
        self._over.set()
        self._thread.join()
        return self.highest


@pytest.mark.parametrize("start_server", [servers.serve, servers.daphne])
async def test_open_streams_need_no_thread_each(start_server: Starter, start: Start, http: Talk) -> None:
    server = start(start_server)
    before = threads(server)
    sockets = crowds.connect_all(server, crowds.stream_request("/crowd"), STREAMS)
    assert await http(server).count("/crowd") == STREAMS
    assert threads(server) <= before + EXECUTOR
    crowds.close_all(sockets)
    await http(server).wait_for_count("/crowd", 0)


@pytest.mark.parametrize("start_server", DOOR_AND_DAPHNE)
def test_invented_sessions_need_no_thread_each(start_server: Starter, start: Start, tmp_path: Path) -> None:
    entries = tmp_path / "sessions.json"
    entries.write_text(json.dumps([{"path": "/<path:any>", "subscribe": "authenticated"}]))
    env = {"EVENTCAST_AUTHORIZATION": "eventcast.authorization.Sessions", "EVENTCAST_SESSIONS": str(entries)}
    env |= {"DATABASE_PATH": str(tmp_path / "sessions.sqlite3")}
    # Only serve makes the table of the sessions by itself.
    own = os.environ | env | {"DJANGO_SETTINGS_MODULE": "eventcast_project.settings"}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=own, check=True)
    server = start(start_server, env=env)
    watch = Watch(lambda: threads(server))
    before = watch.highest
    try:
        sockets = [
            crowds.connect(server, crowds.websocket_request("/crowd", b"Cookie: sessionid=invented%d\r\n" % number))
            for number in range(1500)
        ]
        statuses = {crowds.read_head(sock).split(b" ")[1] for sock in sockets}
        crowds.close_all(sockets)
    finally:
        highest = watch.stop()
    assert statuses == {b"401"}
    assert highest <= before + EXECUTOR


@contextlib.asynccontextmanager
async def publishing_elsewhere(server: Server) -> AsyncIterator[list[float]]:
    """Publishes on another channel meanwhile; gives the seconds that each answer took."""
    waits: list[float] = []
    over = asyncio.Event()

    async def publish() -> None:
        speaker = HTTP(server.port)
        while not over.is_set():
            began = time.monotonic()
            await speaker.post("/elsewhere", "hello")
            waits.append(time.monotonic() - began)
            await asyncio.sleep(0.01)
        await speaker.close()

    publishing = asyncio.create_task(publish())
    try:
        yield waits
    finally:
        over.set()
        await publishing


@pytest.mark.alone
@pytest.mark.parametrize("text", ["x" * 1_000_000, "\n" * 1_000_000], ids=["letters", "line feeds"])
@pytest.mark.parametrize("start_server", DOOR_AND_DAPHNE)
async def test_clients_that_never_read_have_one_bound_together(
    start_server: Starter, text: str, start: Start, http: Talk
) -> None:
    env = {"EVENTCAST_MAX_PENDING_BYTES": str(PENDING), "EVENTCAST_SUBSCRIBER_BUFFER": str(128 * MIB)}
    server = start(start_server, env=env | SETTINGS)
    sockets = crowds.connect_all(server, crowds.stream_request("/crowd"), STREAMS)
    sockets += crowds.connect_all(server, crowds.websocket_request("/crowd"), WEBSOCKETS)
    speaker = http(server)
    assert await speaker.count("/crowd") == STREAMS + WEBSOCKETS

    async def all_are_written() -> bool:
        held = (await speaker.request("GET", "/admin/inside/held")).json()
        return bool(held["delivered and lost"] + held["owed"] >= 10 * WEBSOCKETS)

    watch = Watch(server.memory)
    before = watch.highest
    try:
        async with publishing_elsewhere(server) as waits:
            for _ in range(10):
                await speaker.post("/crowd", text, timeout=60)
            await until(all_are_written, "all is delivered, lost or owed", 60)
    finally:
        highest = watch.stop()
    crowds.close_all(sockets)
    await speaker.wait_for_count("/crowd", 0)
    print(f"memory grew by {(highest - before) / MIB:.0f} MiB, the longest wait was {max(waits):.3f} s")
    assert highest - before <= PENDING + 100 * MIB
    assert max(waits) < 5
    await until(lambda: server.memory() - before < 100 * MIB, "memory comes back")


async def come_hear_and_go(server: Server, speaker: HTTP) -> None:
    """As many streams as WebSockets hear some messages; half of each leave with a reset."""
    sockets = crowds.connect_all(server, crowds.stream_request("/crowd"), SIZE)
    sockets += crowds.connect_all(server, crowds.websocket_request("/crowd"), SIZE)
    await speaker.wait_for_count("/crowd", 2 * SIZE)
    for number in range(MESSAGES):
        await speaker.post("/crowd", f"message {number}.")
    for index, sock in enumerate(sockets):
        crowds.read_until(sock, f"message {MESSAGES - 1}.".encode())
        if index % 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    crowds.close_all(sockets)
    await speaker.wait_for_count("/crowd", 0)


@pytest.mark.alone
@pytest.mark.parametrize("start_server", DOOR_AND_DAPHNE)
async def test_rounds_of_clients_leave_no_memory(start_server: Starter, start: Start, http: Talk) -> None:
    server = start(start_server)
    speaker = http(server)
    memory = []
    for _ in range(ROUNDS):
        await come_hear_and_go(server, speaker)
        memory.append(server.memory())
    print([f"{each / MIB:.1f}" for each in memory])
    # What a few rounds leave in the allocator's pools is used by all that come later.
    assert memory[-1] <= 1.05 * memory[ROUNDS // 3] + MIB
