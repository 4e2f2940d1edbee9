from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings

from eventcast.engine import presence
from eventcast.engine.hub import current_hub
from eventcast.engine.publishing import apublish
from eventcast.http.formats import NDJSON, SSE
from eventcast.routing import EventcastRouter
from tests.fakes import Connection, FlakyLayer, layer_in_use, until


class Reader(Connection):
    """A client that GETs /a as a stream."""

    def __init__(self, accept: str, application: Any = None) -> None:
        headers = [(b"host", b"testserver"), (b"accept", accept.encode())]
        application = application or EventcastRouter(ASGIHandler())
        super().__init__(application, type="http", method="GET", path="/a", raw_path=b"/a", headers=headers)

    async def begin(self) -> None:
        self.inbox.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        task = self.start()
        await until(lambda: self.body or task.done())

    async def leave(self) -> None:
        self.inbox.put_nowait({"type": "http.disconnect"})
        await self.ended()

    async def ended(self) -> None:
        assert self.task is not None
        await asyncio.wait([self.task], timeout=10)
        assert self.task.done()

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(event.get("body", b"") for event in self.sent[1:])


@pytest.fixture
async def sse() -> AsyncIterator[Reader]:
    reader = Reader(SSE)
    await reader.begin()
    yield reader
    await reader.leave()


@pytest.fixture
async def lines() -> AsyncIterator[Reader]:
    reader = Reader(NDJSON)
    await reader.begin()
    yield reader
    await reader.leave()


async def test_server_sent_events_are_typed_and_kept_by_no_proxy(sse: Reader) -> None:
    assert (sse.status, sse.headers["content-type"]) == (200, "text/event-stream")
    assert (sse.headers["cache-control"], sse.headers["x-accel-buffering"]) == ("no-cache, no-transform", "no")
    assert sse.headers["content-encoding"] == "identity"


async def test_server_sent_events_begin_with_when_to_come_back(sse: Reader) -> None:
    assert sse.body.startswith(b"retry: ")
    assert 1000 <= int(sse.body.split()[1]) <= 5000


async def test_server_sent_events_hold_the_messages(sse: Reader) -> None:
    await apublish("/a", "张三\nx")
    await until(lambda: sse.body.endswith("data: 张三\ndata: x\n\n".encode()))


async def test_lines_hold_the_messages(lines: Reader) -> None:
    await apublish("/a", "张三\nx")
    await until(lambda: lines.body.strip())
    record = json.loads(lines.body)
    assert (lines.headers["content-type"], record["channel"], record["data"]) == (NDJSON, "/a", "张三\nx")


@pytest.mark.usefixtures("sse")
async def test_stream_is_counted() -> None:
    assert presence.subscriber_count("/a") == 1


@pytest.mark.usefixtures("sse")
async def test_stream_is_known_by_its_peer() -> None:
    info = presence.subscribers("/a")[0]
    assert (info.peer, info.transport) == ("192.0.2.1:12345", "sse")


@pytest.mark.parametrize("form", [SSE, NDJSON])
async def test_stream_works_without_the_router(form: str) -> None:
    reader = Reader(form, ASGIHandler())
    await reader.begin()
    await apublish("/a", "hello")
    await until(lambda: b"hello" in reader.body)
    await reader.leave()


async def test_client_that_leaves_is_counted_out() -> None:
    reader = Reader(SSE)
    await reader.begin()
    await reader.leave()
    assert (presence.subscriber_count("/a"), current_hub().channels) == (0, {})


async def test_client_that_leaves_while_something_is_sent_is_counted_out() -> None:
    reader = Reader(SSE)
    await reader.begin()
    gate = asyncio.Event()

    async def wait(event: dict[str, Any]) -> None:
        gate.set()
        await asyncio.Event().wait()

    reader.on_send = wait
    await apublish("/a", "x")
    await gate.wait()
    await reader.leave()
    assert (presence.subscriber_count("/a"), current_hub().channels) == (0, {})


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 100})
async def test_client_that_reads_nothing_is_cut_off() -> None:
    reader = Reader(SSE)
    await reader.begin()

    async def wait(event: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    reader.on_send = wait
    while presence.subscriber_count("/a"):
        await apublish("/a", "more than it takes")
        await asyncio.sleep(0)
    await reader.ended()
    assert current_hub().channels == {}


async def test_goodbye_of_the_server_ends_streams() -> None:
    reader = Reader(SSE)
    await reader.begin()
    current_hub().stop()
    await reader.ended()
    assert (reader.sent[-1].get("more_body", False), current_hub().channels) == (False, {})


async def test_stream_is_refused_when_the_server_is_going_away() -> None:
    current_hub().stop()
    reader = Reader(SSE)
    await reader.begin()
    await reader.leave()
    assert (reader.status, json.loads(reader.body)["error"]) == (503, "layer_unavailable")


async def test_stream_ends_when_the_layer_is_down(caplog: pytest.LogCaptureFixture) -> None:
    layer = FlakyLayer()
    layer.failing = {"group_add"}
    with layer_in_use(layer):
        reader = Reader(SSE)
        await reader.begin()
        await reader.ended()
    assert (reader.body, current_hub().channels) == (b"", {})
    assert "layer_unavailable" in caplog.text


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/event-stream", "text/event-stream"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("text/event-stream, */*;q=0.1", "text/event-stream"),
        ("application/json;q=0.5, application/x-ndjson", "application/x-ndjson"),
    ],
)
async def test_stream_is_what_the_client_accepts_best(accept: str, kind: str) -> None:
    reader = Reader(accept)
    await reader.begin()
    await reader.leave()
    assert reader.headers["content-type"] == kind
