from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import override_settings

from eventcast.engine import presence
from eventcast.engine.hub import current_hub
from eventcast.engine.presence import subscriber_count
from eventcast.engine.publishing import apublish, apublish_many
from eventcast.exceptions import ReservedChannel
from eventcast.websocket import consumer as consumers
from eventcast.websocket.consumer import EventcastConsumer, wanted_by
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
    assert (connection.sent, subscriber_count("/a")) == ([{"type": "websocket.accept"}], 1)
    await connection.disconnect()


async def test_messages_arrive_verbatim_and_in_order() -> None:
    connection = await connect()
    await apublish_many("/a", ["text", b"\xff", "", b"", "张三"])
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


# --- the host ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "testserver.evil.example", "a b", "[::2]"])
async def test_socket_to_a_host_that_is_not_allowed_is_refused_and_counts_for_nobody(host: str) -> None:
    connection = await connect(headers=[(b"host", host.encode())], extensions={"websocket.http.response": {}})
    await ended(connection)
    assert connection.sent[0]["status"] == 400
    assert json.loads(connection.sent[1]["body"])["error"] == "disallowed_host"
    assert subscriber_count("/a") == 0


@pytest.mark.parametrize("host", ["testserver", "TESTSERVER:8000", "localhost", "[::1]:80", "127.0.0.1:1"])
async def test_socket_to_an_allowed_host_is_accepted(host: str) -> None:
    connection = await connect(headers=[(b"host", host.encode())])
    assert connection.types() == ["websocket.accept"]
    await connection.disconnect()


async def test_socket_without_a_host_is_accepted() -> None:
    connection = await connect(headers=[])
    assert connection.types() == ["websocket.accept"]
    await connection.disconnect()


async def test_socket_whose_handshake_django_cannot_read_is_refused() -> None:
    headers = [(b"host", b"testserver"), (b"content-type", b"text/plain; a*0=b; a*1=c; a*=x")]
    connection = await connect(headers=headers, extensions={"websocket.http.response": {}})
    await ended(connection)
    assert connection.sent[0]["status"] == 400


async def test_forwarded_host_counts_only_where_the_site_says_so() -> None:
    headers = [(b"host", b"inside"), (b"x-forwarded-host", b"testserver")]
    with override_settings(USE_X_FORWARDED_HOST=True):
        connection = await connect(headers=headers)
        assert connection.types() == ["websocket.accept"]
        await connection.disconnect()
    connection = await connect(headers=headers)
    await ended(connection)
    assert connection.types() == ["websocket.close"]


@pytest.mark.parametrize(("debug", "answer"), [(True, "websocket.accept"), (False, "websocket.close")])
async def test_empty_list_of_hosts_allows_this_machine_under_debug(debug: bool, answer: str) -> None:
    with override_settings(ALLOWED_HOSTS=[], DEBUG=debug):
        connection = await connect(headers=[(b"host", b"localhost:8000")])
        assert connection.types() == [answer]
        if debug:
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
async def test_subscriber_may_be_nobody_in_particular(scope: dict[str, Any]) -> None:
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
async def test_socket_that_takes_nothing_is_closed_with_1013() -> None:
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
async def test_socket_that_takes_nothing_holds_nobody_up() -> None:
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
    current_hub().say_goodbye()
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


# --- being refused ----------------------------------------------------------------------------------------------------

REFUSED = {
    "/%FF": (400, "invalid_channel"),
    "/" + "a" * 2000: (414, "channel_too_long"),
    "/-/x": (404, "reserved_path"),
}


@pytest.mark.parametrize("target", REFUSED, ids=lambda target: target[:10])
async def test_refused_socket_is_closed_before_it_is_accepted(target: str) -> None:
    connection = await connect(target)
    await ended(connection)
    assert connection.sent == [{"type": "websocket.close", "code": 1008, "reason": REFUSED[target][1]}]


@pytest.mark.parametrize("target", REFUSED, ids=lambda target: target[:10])
async def test_refused_socket_gets_an_answer_where_the_server_can_give_one(target: str) -> None:
    status, code = REFUSED[target]
    connection = await connect(target, extensions={"websocket.http.response": {}})
    await ended(connection)
    start, body = connection.sent
    assert (start["type"], start["status"]) == ("websocket.http.response.start", status)
    assert (b"content-type", b"application/json") in start["headers"]
    assert json.loads(body["body"])["error"] == code


async def test_refused_socket_leaves_nothing() -> None:
    tasks = asyncio.all_tasks()
    connection = await connect("/%FF")
    await ended(connection)
    assert (asyncio.all_tasks(), current_hub().channels) == (tasks, {})


async def test_refused_socket_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    await ended(await connect("/%FF"))
    assert [record.name for record in caplog.records] == ["eventcast.subscribe"]
    assert "invalid_channel" in caplog.text
    assert "192.0.2.1:12345" in caplog.text


async def test_socket_is_refused_when_the_layer_is_down() -> None:
    layer = FlakyLayer()
    layer.failing = {"group_add"}
    with layer_in_use(layer):
        connection = await connect(extensions={"websocket.http.response": {}})
        await ended(connection)
    assert connection.sent[0]["status"] == 503
    assert b"retry-after" in dict(connection.sent[0]["headers"])


@override_settings(EVENTCAST={"MAX_SUBSCRIBERS_PER_CHANNEL": 1})
async def test_socket_is_refused_when_the_channel_is_full() -> None:
    first = await connect()
    second = await connect(extensions={"websocket.http.response": {}})
    await ended(second)
    assert (second.sent[0]["status"], dict(second.sent[0]["headers"])[b"retry-after"]) == (503, b"10")
    await first.disconnect()


async def test_socket_is_refused_when_the_server_is_going_away() -> None:
    current_hub().say_goodbye()
    connection = await connect()
    await ended(connection)
    assert connection.sent[0]["reason"] == "layer_unavailable"


# --- which channel ----------------------------------------------------------------------------------------------------


class Protocol:
    """A Daphne protocol, as far as its request target goes."""

    def __init__(self, target: str) -> None:
        self.http_request_uri = target


@pytest.mark.parametrize(
    ("target", "mangled"),
    [("//a/b", "/b"), ("/a;b", "/a"), ("/%FF%20", "/\ufffd "), ("/a%2525", "/a%25"), ("/a?b", "/a")],
)
def test_channel_is_named_by_the_target_and_not_by_the_scope(target: str, mangled: str) -> None:
    if "%FF" in target:
        with pytest.raises(ValueError, match="UTF-8"):
            wanted_by({"path": mangled}, Protocol(target))
    else:
        expected = {"//a/b": "//a/b", "/a;b": "/a;b", "/a%2525": "/a%25", "/a?b": "/a"}[target]
        assert wanted_by({"path": mangled}, Protocol(target)) == expected


def test_channel_must_lie_below_the_mount() -> None:
    scope = {"path": "/live/a", "path_remaining": "a"}
    with pytest.raises(ReservedChannel):
        wanted_by(scope, Protocol("//x/live/a"))


def test_channel_keeps_its_mount() -> None:
    assert wanted_by({"path": "/live/a", "path_remaining": "a"}, None) == "/live/a"


def test_consumer_asks_for_no_layer_channel_of_its_own() -> None:
    assert EventcastConsumer.channel_layer_alias is None
    assert consumers.EventcastConsumer.as_asgi() is not None
