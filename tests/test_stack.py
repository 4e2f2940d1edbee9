"""Surprising behaviour of the stack below, each with the decision of eventcast that depends on it.

A test that fails says which decision to think over again. The insides of Daphne, Twisted and autobahn that eventcast
uses are pinned in ``tests/daphne/``.
"""

from __future__ import annotations

import asyncio
import inspect
import io
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from autobahn.websocket.protocol import WebSocketProtocol
from autobahn.websocket.util import parse_url
from channels.consumer import AsyncConsumer
from channels.layers import InMemoryChannelLayer
from channels.routing import URLRouter
from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol as DaphneProtocol
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import QueryDict, StreamingHttpResponse
from django.http.multipartparser import MultiPartParser
from django.test import RequestFactory
from django.urls import path, re_path

# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "mangled"), [("//a/b", "/b"), ("/a;b", "/a")])
def test_autobahn_mangles_paths(target: str, mangled: str) -> None:
    # Why the channel of a WebSocket under Daphne comes from the raw request target. autobahn parses the target in
    # processHandshake().
    from urllib.parse import urlparse

    assert "urlparse" in inspect.getsource(inspect.getmodule(WebSocketProtocol))  # type: ignore[arg-type]
    assert urlparse(target).path == mangled
    assert parse_url("ws://host/a;b")[3] == "/a"


def test_daphne_replaces_bytes_that_are_not_utf8() -> None:
    # Why names.channel_from_scope() reads raw_path first: /%FF and /%FE would be one channel.
    from daphne.ws_protocol import unquote

    assert unquote("/%FF") == unquote("/%FE") == "/\ufffd"


@pytest.mark.parametrize("slashes", ["", "/", "//"])
async def test_channels_router_strips_all_slashes(slashes: str) -> None:
    # Why names.check_not_reserved() and urls.py look behind any number of slashes, and why slashes before the mount
    # are refused: Django's resolver strips one.
    seen: list[str] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.append(scope["path_remaining"])

    router = URLRouter([path("live/", URLRouter([re_path("^", application)]))])  # type: ignore[arg-type]
    await router({"type": "websocket", "path": f"/{slashes}live/{slashes}a"}, None, None)  # type: ignore[arg-type]
    assert seen == ["a"]


@pytest.mark.parametrize("pattern", [path("<path:rest>", id), re_path(r"^.*$", id)])
def test_django_catch_all_patterns_stop_at_newlines(pattern: Any) -> None:
    # Why urls.py has a bare "^" for the channels: POST /a%0Ab would be a 404.
    assert pattern.resolve("a\nb") is None


def test_django_pattern_of_a_bare_caret_matches_everything() -> None:
    assert re_path("^", id).resolve("a\nb") is not None


# --- Daphne -----------------------------------------------------------------------------------------------------------


def test_daphne_never_sends_empty_messages() -> None:
    # Why daphne.mended() sends empty messages itself: handle_reply() drops a message that is false.
    sent: list[Any] = []

    class Protocol(DaphneProtocol):  # type: ignore[misc]
        def __init__(self) -> None:
            self.state = self.STATE_OPEN

        def serverSend(self, content: Any, binary: bool = False) -> None:
            sent.append(content)

    protocol = Protocol()
    for event in ({"text": ""}, {"bytes": b""}, {"text": "x"}):
        protocol.handle_reply({"type": "websocket.send", **event})
    assert sent == ["x"]


@pytest.mark.parametrize("code", [1001, 1013])
def test_autobahn_refuses_to_close_with_the_codes_of_servers(code: int) -> None:
    # Why daphne.mended() sends close frames itself: ASGI's websocket.close ends in sendClose(), which raises for these
    # codes, and the client gets 1011 in place of "going away" or "try again later".
    protocol = WebSocketProtocol.__new__(WebSocketProtocol)
    with pytest.raises(Exception, match=str(code)):
        protocol.sendClose(code=code)


def test_daphne_drops_the_reason_of_a_close() -> None:
    # The other cause: Daphne does not read the "reason" of websocket.close.
    assert "reason" not in inspect.signature(DaphneProtocol.serverClose).parameters


def test_daphne_hands_the_application_a_partial_of_handle_reply() -> None:
    # What find_protocol() looks for.
    assert "send=partial(self.handle_reply, protocol)" in inspect.getsource(Server.create_application)


def test_daphne_ends_its_applications_before_a_later_trigger_of_the_shutdown() -> None:
    # Why subscribers are told of a shutdown at once and not in a task: Daphne's trigger was added first, in run(), and
    # cancels the consumers, which forget their subscribers in the next turn of the event loop.
    source = inspect.getsource(Server.run)
    assert source.index('"before", "shutdown", self.kill_all_applications') < source.index("reactor.run(")
    assert "application_instance.cancel()" in inspect.getsource(Server.kill_all_applications)


# --- Channels ---------------------------------------------------------------------------------------------------------


async def test_channels_drops_messages_silently_when_a_reader_is_slow() -> None:
    # Why eventcast has a layer of its own, and a system check that recommends it.
    layer = InMemoryChannelLayer(capacity=2)
    channel = await layer.new_channel()
    await layer.group_add("group", channel)
    for number in range(5):
        await layer.group_send("group", {"type": "x", "number": number})
    assert [(await layer.receive(channel))["number"] for _ in range(2)] == [0, 1]


def test_channels_dispatch_goes_through_the_database_thread() -> None:
    # Why EventcastConsumer has a __call__ of its own: one slow query in the process would delay every event.
    assert "aclose_old_connections" in inspect.getsource(AsyncConsumer.dispatch)


# --- Django -----------------------------------------------------------------------------------------------------------


def test_django_replaces_bytes_of_a_form_that_are_not_utf8() -> None:
    # Why bodies.py parses forms itself, with errors="strict": a broken message would be published.
    assert QueryDict(b"data=%FF")["data"] == "\ufffd"
    with pytest.raises(UnicodeDecodeError):
        parse_qsl("data=%FF", errors="strict")


def test_django_reads_a_multipart_body_without_a_length_as_empty() -> None:
    # Why bodies.py gives a length to the parser where a chunked request has none.
    body = b'--b\r\nContent-Disposition: form-data; name="data"\r\n\r\nx\r\n--b--\r\n'
    meta = {"CONTENT_TYPE": "multipart/form-data; boundary=b"}
    handlers = RequestFactory().get("/").upload_handlers
    assert MultiPartParser(meta, io.BytesIO(body), handlers, "utf-8").parse()[0] == {}
    meta["CONTENT_LENGTH"] = "1"  # any other number will do
    assert MultiPartParser(meta, io.BytesIO(body), handlers, "utf-8").parse()[0]["data"] == "x"


@pytest.mark.parametrize(
    "scope", [{"query_string": b"\xff"}, {"headers": [(b"content-type", b"text/plain; charset=\0")]}]
)
def test_django_raises_value_error_for_unreadable_requests(scope: dict[str, Any]) -> None:
    # Why eventcast makes Django's request inside a try.
    with pytest.raises(ValueError):
        ASGIRequest({"type": "http", "method": "POST", "path": "/", **scope}, io.BytesIO())


def test_django_starts_a_thread_for_every_request() -> None:
    # Why EventcastRouter answers publishes without Django's handler: it starts and joins a thread for each POST.
    assert "ThreadSensitiveContext()" in inspect.getsource(ASGIHandler.__call__)


async def test_django_does_not_close_the_body_of_a_stream() -> None:
    # Why a stream closes its body itself: a client that leaves while a piece is sent would stay subscribed.
    closed = []

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"x"
        finally:
            closed.append(True)

    response = StreamingHttpResponse(body())
    pieces = aiter(response)
    assert await anext(pieces) == b"x"
    await pieces.aclose()  # type: ignore[attr-defined]
    assert closed == []


# --- asyncio ----------------------------------------------------------------------------------------------------------


async def test_cancelled_task_runs_before_a_task_that_is_made_later() -> None:
    # Why ASGIWebSocket.close() need not wait: the cancelled writer has ended when the close frame is sent.
    order: list[str] = []

    async def writer() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append("writer")

    async def close() -> None:
        order.append("close")

    task = asyncio.ensure_future(writer())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.ensure_future(close())
    assert order == ["writer", "close"]
