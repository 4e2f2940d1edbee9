"""A client whose connection is reset while the site's class still thinks about it becomes no subscriber."""

from __future__ import annotations

import asyncio
import select

import pytest
from django.http import HttpRequest
from django.test import override_settings

from eventcast.authorization import Authorization
from tests.doors import Daphne, enter, open_door
from tests.live.raw import HANDSHAKE
from tests.live.waiting import until
from tests.live.wires import publish, request


class Thoughtful(Authorization):
    """Lets every client in, but subscribers not before the test says so."""

    uses_cookies = False
    asked = asyncio.Event()
    decided = asyncio.Event()

    async def can_publish(self, request: HttpRequest, channel: str) -> bool:
        return True

    async def can_subscribe(self, request: HttpRequest, channel: str) -> bool:
        type(self).asked.set()
        await type(self).decided.wait()
        return True


REQUESTS = {
    "websocket": b"GET /a HTTP/1.1\r\nHost: localhost\r\n" + HANDSHAKE + b"\r\n",
    "stream": request("GET", "/a", b"", "Accept: text/event-stream"),
    "question": request("GET", "/a"),
}


@pytest.mark.parametrize("kind", REQUESTS)
@override_settings(EVENTCAST={"AUTHORIZATION": f"{__name__}.Thoughtful"})
async def test_client_that_is_reset_while_it_is_checked_leaves_nothing(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Thoughtful, "asked", asyncio.Event())
    monkeypatch.setattr(Thoughtful, "decided", asyncio.Event())
    with open_door(Daphne()) as door:
        client = enter(door)
        client.send(publish("/a"))
        await until(lambda: select.select([client], [], [], 0)[0], "an answer")
        client.send(REQUESTS[kind])
        await Thoughtful.asked.wait()
        client.close()  # With an unread answer: that resets the connection.
        await until(lambda: not door.connections, "the connection is forgotten")
        Thoughtful.decided.set()
        await until(lambda: len(asyncio.all_tasks()) == 1, "no task is left")
        assert door.hub.channels == {}
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
