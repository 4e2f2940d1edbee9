"""What a listener's connection hands over when it is to stop, and what is logged of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from eventcast.client import State
from eventcast.listeners import Listener, queues
from eventcast.listeners.running import ThreadRunner
from eventcast.listeners.sources import READ_AHEAD, Connection, Server, listen
from tests.live.waiting import TIMEOUT

COUNT = READ_AHEAD - 1
"""Messages that one reads ahead without holding back the rest, and with it the answer to a ping."""


async def test_messages_that_were_read_ahead_are_handled_after_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "PATIENCE", TIMEOUT)
    found: list[int] = []
    release, are_read = threading.Event(), asyncio.Event()

    async def send(connection: ServerConnection) -> None:
        for number in range(COUNT):
            await connection.send(str(number))
        await (await connection.ping())  # its answer comes after all that were read before it
        are_read.set()
        await connection.wait_closed()

    def handle(message: Any) -> None:
        release.wait(TIMEOUT)
        found.append(message)

    listener = Listener(name="a", path="/a", function=handle, queue=1)
    runner = ThreadRunner(listener)
    runner.start()
    async with serve(send, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        listening = asyncio.create_task(listen(listener, Server(f"http://127.0.0.1:{port}"), runner))
        await asyncio.wait_for(are_read.wait(), TIMEOUT)
        listening.cancel()
        release.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(listening, TIMEOUT)
    runner.close()
    assert await asyncio.to_thread(runner.join, TIMEOUT)
    assert found == list(range(COUNT))


def test_lost_connection_is_one_warning_until_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "eventcast.listen")
    connection = Connection("app.mail", "/a")
    waiting = [State("waiting", delay=2.0, reason=reason) for reason in ("Closed.", "No answer", "No answer")]
    for state in [State("open"), *waiting, State("open", missed=7.5), waiting[0]]:
        connection.take(state)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "app.mail listens to /a"),
        ("WARNING", "app.mail: Closed. Trying again in 2.0 s."),
        ("INFO", "app.mail: No answer. Trying again in 2.0 s."),
        ("DEBUG", "app.mail: No answer. Trying again in 2.0 s."),
        ("WARNING", "app.mail: here again. Messages of 7.5 s are missing."),
        ("WARNING", "app.mail: Closed. Trying again in 2.0 s."),
    ]
