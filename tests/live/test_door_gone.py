"""How a connection of the door ends where the client does not end it in an orderly way."""

from __future__ import annotations

import asyncio
import json
import select

import pytest
from django.http import HttpRequest
from django.test import override_settings

from eventcast.authorization import Authorization
from eventcast.engine.quotas import quotas
from tests.doors import Daphne, converse, enter, open_door
from tests.fakes import FlakyLayer, layer_in_use
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


async def test_connection_between_two_requests_outlives_that_of_a_proxy() -> None:
    with open_door(Daphne()) as door, enter(door) as client:
        (connection,) = door.connections
        client.send(publish("/a"))
        await until(lambda: select.select([client], [], [], 0)[0], "an answer")
        # nginx and load balancers keep theirs for 60 seconds, or 75: a publish must not meet the end of one.
        assert connection.deadline - asyncio.get_running_loop().time() > 90


async def test_connection_that_was_silent_for_too_long_ends_without_an_answer() -> None:
    with open_door(Daphne()) as door, enter(door) as client:
        (connection,) = door.connections
        client.send(publish("/a"))
        await until(lambda: select.select([client], [], [], 0)[0], "an answer")
        assert client.recv(65536).startswith(b"HTTP/1.1 202 ")
        connection.timed_out()
        assert client.recv(65536) == b""
        assert not door.connections


async def test_body_that_drips_has_one_second_more_for_each_kilobyte() -> None:
    with open_door(Daphne()) as door, enter(door) as client:
        (connection,) = door.connections
        body = b"x" * 100_000
        client.send(publish("/a", body)[:-100_000])
        await until(lambda: connection._body is not None, "the body is waited for")
        deadline = connection.deadline
        for _ in range(10):
            client.send(b"x" * 1000)
            await asyncio.sleep(0)
        await until(lambda: connection._body and len(connection._body[0].content) == 10_000, "ten kilobytes")
        assert connection.deadline == pytest.approx(deadline + 10)


@pytest.mark.parametrize("kind", ["websocket", "stream"])
async def test_subscriber_that_the_layer_does_not_take_gets_a_whole_answer(kind: str) -> None:
    with layer_in_use(FlakyLayer()) as layer, open_door(Daphne()) as door:
        layer.failing = {"group_add"}
        said = await converse(door, REQUESTS[kind])
        await until(lambda: not door.connections, "the connection is closed")
        assert door.hub.keepalive.peers == 0
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: " in head
    assert json.loads(body)["error"] == "layer_unavailable"


@pytest.mark.parametrize("kind", ["websocket", "stream"])
async def test_client_that_is_gone_before_the_layer_takes_it_leaves_nothing(kind: str) -> None:
    with layer_in_use(FlakyLayer()) as layer, open_door(Daphne()) as door:
        layer.gate = asyncio.Event()
        client = enter(door)
        client.send(publish("/a"))
        await until(lambda: select.select([client], [], [], 0)[0], "an answer")
        client.send(REQUESTS[kind])
        await until(lambda: "group_add" in layer.calls, "the layer is asked")
        client.close()  # With an unread answer: that resets the connection.
        await until(lambda: not door.connections, "the connection is forgotten")
        layer.gate.set()
        await until(lambda: door.hub.channels == {} and len(asyncio.all_tasks()) == 1, "nothing is left")
        assert quotas.subscribers == 0
