"""WebSockets by ASGI that are refused: by their host, their channel or a limit; and which channel each asks for."""

from __future__ import annotations

import asyncio
import json

import pytest
from django.test import override_settings

from eventcast.engine.hub import current_hub
from eventcast.engine.presence import subscriber_count
from eventcast.exceptions import ReservedChannel
from eventcast.websocket.consumer import EventcastConsumer, wanted_by
from tests.fakes import FlakyLayer, layer_in_use
from tests.test_consumers import connect, ended

# --- the host ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "testserver.evil.example", "a b", "[::2]"])
async def test_socket_to_a_host_that_is_not_allowed_is_refused_and_not_counted(host: str) -> None:
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


# --- being refused ----------------------------------------------------------------------------------------------------

REFUSED = {
    "/%FF": (400, "invalid_channel"),
    "/a/../b": (400, "invalid_channel"),
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
    current_hub().stop()
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
