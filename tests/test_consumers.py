from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import override_settings

from eventcast.engine import presence, subscribers
from eventcast.engine.hub import current_hub
from eventcast.engine.presence import subscriber_count
from eventcast.engine.publishing import apublish
from eventcast.engine.sending import apublish_all
from eventcast.websocket.consumer import EventcastConsumer
from tests.fakes import Connection, FlakyLayer, layer_in_use, until, websocket

application = EventcastConsumer.as_asgi()


async def connect(target: str = "/a", **scope: Any) -> Connection:
    return await websocket(application, target, **scope).connect()


async def ended(connection: Connection) -> None:
    assert connection.task is not None
    await asyncio.wait([connection.task], timeout=10)
    assert connection.task.done()


# --- listening --------------------------------------------------------------------------------------------------------


async def test_socket_is_accepted_and_counted() -> None:
    connection = await connect()
    assert (connection.sent, subscriber_count("/a")) == ([{"type": "websocket.accept", "subprotocol": None}], 1)
    await connection.disconnect()


async def test_messages_arrive_verbatim_and_in_order() -> None:
    connection = await connect()
    await apublish_all("/a", ["text", b"\xff", "", b"", "张三"])
    await until(lambda: connection.heard == ["text", b"\xff", "", b"", "张三"])
    await connection.disconnect()


async def test_message_reaches_every_socket_of_its_path_and_no_other() -> None:
    here, here_too, there = await connect(), await connect(), await connect("/a/")
    await apublish("/a", "x")
    await apublish("/a/", "y")
    await until(lambda: here.heard and here_too.heard and there.heard)
    assert (here.heard, here_too.heard, there.heard) == (["x"], ["x"], ["y"])
    for connection in (here, here_too, there):
        await connection.disconnect()


async def test_query_string_is_no_part_of_the_channel() -> None:
    connection = await connect("/a?b=c")
    assert subscriber_count("/a") == 1
    await connection.disconnect()


async def test_what_a_listener_says_is_ignored() -> None:
    connection = await connect()
    connection.inbox.put_nowait({"type": "websocket.receive", "text": "hello"})
    await apublish("/a", "x")
    await until(lambda: connection.heard == ["x"])
    await connection.disconnect()


async def test_message_during_the_handshake_is_heard_after_it() -> None:
    connection = websocket(application, "/a")
    gate = asyncio.Event()

    async def wait(event: dict[str, Any]) -> None:
        await gate.wait()

    connection.on_send = wait
    connection.start()
    connection.inbox.put_nowait({"type": "websocket.connect"})
    await until(lambda: subscriber_count("/a"))
    await apublish("/a", "early")
    gate.set()
    await until(lambda: connection.heard == ["early"])
    assert connection.types()[0] == "websocket.accept"
    await connection.disconnect()


async def test_subscriber_is_known_by_peer_and_user() -> None:
    connection = await connect(user=User(username="zhang"))
    info = presence.subscribers("/a")[0]
    assert (info.peer, info.user, info.transport) == ("192.0.2.1:12345", "zhang", "asgi")
    await connection.disconnect()


@pytest.mark.parametrize("scope", [{}, {"user": AnonymousUser()}, {"client": None}])
async def test_subscriber_may_have_no_user(scope: dict[str, Any]) -> None:
    connection = await connect(**scope)
    assert presence.subscribers("/a")[0].user == ""
    await connection.disconnect()


# --- leaving: no ghosts -----------------------------------------------------------------------------------------------


async def test_disconnected_socket_is_counted_out() -> None:
    connection = await connect()
    await connection.disconnect()
    assert subscriber_count("/a") == 0


async def test_nothing_is_left_of_a_disconnected_socket() -> None:
    tasks = asyncio.all_tasks()
    connection = await connect()
    await apublish("/a", "x")
    await connection.disconnect()
    await until(lambda: asyncio.all_tasks() == tasks)
    assert current_hub().channels == {}


@pytest.mark.parametrize("moment", ["websocket.accept", "receive"])
async def test_error_leaves_no_ghost(moment: str) -> None:
    connection = websocket(application, "/a")

    async def fail(event: dict[str, Any]) -> None:
        if event["type"] == moment:
            raise OSError("gone")

    connection.on_send = fail
    await connection.connect()
    if moment == "receive":
        connection.inbox.put_nowait({})  # no type: the server is broken
    await ended(connection)
    assert connection.task is not None
    assert isinstance(connection.task.exception(), (OSError, KeyError))
    assert subscriber_count("/a") == 0


async def test_cancellation_leaves_no_ghost() -> None:
    connection = await connect()
    assert connection.task is not None
    connection.task.cancel()
    await ended(connection)
    assert (connection.task.cancelled(), subscriber_count("/a")) == (True, 0)


async def test_cancellation_during_the_handshake_leaves_no_ghost() -> None:
    layer = FlakyLayer()
    layer.gate = asyncio.Event()
    with layer_in_use(layer):
        connection = websocket(application, "/a")
        task = connection.start()
        connection.inbox.put_nowait({"type": "websocket.connect"})
        await until(lambda: "group_add" in layer.calls)
        task.cancel()
        await ended(connection)
        assert (subscriber_count("/a"), current_hub().channels) == (0, {})


async def test_send_that_fails_counts_the_socket_out_at_once() -> None:
    connection = await connect()

    async def fail(event: dict[str, Any]) -> None:
        raise OSError("gone")

    connection.on_send = fail
    await apublish("/a", "x")
    await until(lambda: subscriber_count("/a") == 0)
    await connection.disconnect()


# --- being closed -----------------------------------------------------------------------------------------------------


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 100})
async def test_socket_that_takes_nothing_is_closed_with_1013(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 0)
    connection = await connect()
    stuck = asyncio.Event()

    async def wait(event: dict[str, Any]) -> None:
        if event["type"] == "websocket.send":
            await stuck.wait()

    connection.on_send = wait
    while subscriber_count("/a"):
        await apublish("/a", "more than it takes")
        await asyncio.sleep(0)
    await ended(connection)
    assert (connection.sent[-1]["code"], connection.heard, subscriber_count("/a")) == (1013, [], 0)


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 100})
async def test_socket_that_takes_nothing_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 0)
    slow, quick = await connect(), await connect()

    async def wait(event: dict[str, Any]) -> None:
        if event["type"] == "websocket.send":
            await asyncio.Event().wait()

    slow.on_send = wait
    expected = [str(number) * 10 for number in range(50)]
    for text in expected:
        await apublish("/a", text)
        await asyncio.sleep(0)
    await until(lambda: quick.heard == expected)
    await quick.disconnect()
    await ended(slow)


async def test_goodbye_of_the_server_closes_sockets_with_1001() -> None:
    connection = await connect()
    current_hub().stop()
    await ended(connection)
    assert connection.sent[-1]["code"] == 1001


async def test_socket_that_is_disconnected_by_an_operator_is_closed_with_3000() -> None:
    connection = await connect()
    presence.disconnect("/a")
    await ended(connection)
    assert (connection.sent[-1]["code"], subscriber_count("/a")) == (3000, 0)


@override_settings(EVENTCAST={"MAX_INBOUND_FRAMES": 2})
async def test_socket_that_only_listens_and_says_too_much_is_closed_with_1008() -> None:
    connection = await connect()
    for _ in range(3):
        connection.inbox.put_nowait({"type": "websocket.receive", "text": "hello"})
    await ended(connection)
    assert (connection.sent[-1]["code"], subscriber_count("/a")) == (1008, 0)
