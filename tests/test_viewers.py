"""A viewer that is too slow loses its oldest messages, and is told how many are missing where they are missing."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import AsyncRequestFactory, override_settings

from eventcast.engine import notices, subscribers
from eventcast.engine.closing import GOING_AWAY
from eventcast.engine.encoders import EVENT_CHUNKS, EVENTS, FRAMES, LINE_EVENTS, LINE_FRAMES, LINES, PAYLOADS, Batch
from eventcast.engine.fanout import LocalChannel
from eventcast.engine.hub import current_hub
from eventcast.engine.messages import Message
from eventcast.engine.publishing import publish
from eventcast.engine.subscribers import Subscriber
from eventcast.http.formats import FORMATS, NDJSON, SSE
from eventcast.http.streams import ResponseStream, Stream
from eventcast.security.admission import Permit
from eventcast.websocket.asgi import ASGIWebSocket
from tests.fakes import until
from tests.reading import Connections, make_connections

connections = pytest.fixture(make_connections)
NOTICE = re.compile(r'\{"type":"lost","messages":(\d+),"reason":"slow"\}')


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A subscriber past its bound has no time to catch up, and the bound is small."""
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 0.0)
    with override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 20_000}):
        yield


def numbers(heard: list[str]) -> list[int]:
    """The numbers of the messages that a client got; each notice counts for as many as it says."""
    found: list[int] = []
    next_number = 0
    for text in heard:
        if notice := NOTICE.fullmatch(text):
            next_number += int(notice[1])
        else:
            assert int(text[:5]) == next_number, (text[:5], next_number)
            found.append(next_number)
            next_number += 1
    assert next_number == 1000, f"the client knows of {next_number} messages"
    return found


def text(number: int) -> str:
    return f"{number:05}" + "x" * 995


def publish_thousand(subscriber: Subscriber) -> None:
    channel = subscriber.channel
    assert channel is not None
    for number in range(1000):
        channel.publish([Message(text(number))])
        channel.advance(float("inf"))


def check_figures(subscriber: Subscriber, channel: LocalChannel, heard: int) -> None:
    """What was lost is counted, and nothing is counted twice."""
    assert (subscriber.lost, channel.lost, channel.delivered) == (1000 - heard, 1000 - heard, heard)
    assert not subscriber.closed


async def test_websocket_that_does_not_read_keeps_the_newest(connections: Connections) -> None:
    subscriber, client = await connections.connect("/a", reads=False)
    subscriber.viewer = True
    channel = subscriber.channel
    assert channel is not None
    await asyncio.to_thread(lambda: None)
    for number in range(1000):
        publish("/a", text(number))
    assert subscriber.pending <= 20_000 + 1100
    client.start()
    await until(lambda: not subscriber.pending)
    check_figures(subscriber, channel, 1000 - subscriber.lost)
    await connections.close()
    heard = numbers([payload.decode() for payload in client.heard()])
    assert len(heard) == 1000 - subscriber.lost
    assert heard[-1] == 999
    assert subscriber.lost > 100


async def test_page_of_the_admin_is_in_no_figure(connections: Connections) -> None:
    subscriber, client = await connections.connect("/a", reads=False)
    channel = subscriber.channel
    assert channel is not None
    subscriber.leave()
    subscriber.viewer = subscriber.watching = True
    channel.add(subscriber)
    for number in range(1000):
        publish("/a", text(number))
    client.start()
    await until(lambda: not subscriber.pending)
    publish("/a", "straight to the socket")
    assert subscriber.lost > 100
    assert (channel.count, channel.messages, channel.delivered, channel.lost) == (0, 1001, 0, 0)


async def test_websocket_of_another_server_keeps_the_newest() -> None:
    heard, open_again = [], asyncio.Event()

    async def send(event: dict[str, Any]) -> None:
        heard.append(event["text"])
        await open_again.wait()

    subscriber = ASGIWebSocket(send)
    subscriber.viewer = True
    channel = LocalChannel("/a")
    channel.add(subscriber)
    subscriber.open()
    channel.publish([Message(text(0))])
    channel.advance(float("inf"))
    await until(lambda: heard)  # the first message is on its way and stays
    for number in range(1, 1000):
        channel.publish([Message(text(number))])
        channel.advance(float("inf"))
    open_again.set()
    await until(lambda: not subscriber.pending)
    assert numbers(heard)[-1] == 999
    check_figures(subscriber, channel, len(numbers(heard)))
    assert heard[0] == text(0)


@pytest.mark.parametrize("kind", [SSE, NDJSON])
async def test_stream_by_a_response_keeps_the_newest(kind: str) -> None:
    answer = Stream(AsyncRequestFactory().get("/a"), "/a", FORMATS[kind], Permit(), viewer=True)
    subscriber, channel = ResponseStream(answer), LocalChannel("/a")
    channel.add(subscriber)
    pieces = aiter(subscriber)
    publish_thousand(subscriber)
    lost = subscriber.lost
    subscriber.closed = True
    body = b"".join([piece async for piece in pieces]).decode()
    if kind == SSE:
        heard = re.findall(r"^data: (.*)$", body, re.MULTILINE)
        assert body.count("event: lost\ndata: {") == 1
    else:
        heard = [line if NOTICE.fullmatch(line) else json.loads(line)["data"] for line in body.splitlines()]
    assert numbers(heard)[-1] == 999
    assert len(numbers(heard)) == 1000 - lost < 30


async def test_viewer_is_not_closed_where_all_together_owe_too_much(connections: Connections) -> None:
    subscriber, _ = await connections.connect("/a", reads=False)
    subscriber.viewer = True
    with override_settings(EVENTCAST={"MAX_PENDING_BYTES": 1_000_000}):
        for _ in range(30):
            publish("/a", "x" * 100_000)
    assert not subscriber.closed
    assert current_hub().memory.total <= 1_000_000
    assert subscriber.lost > 10


async def test_viewer_holds_up_publishers_no_more_until_it_has_taken_all(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Stream(AsyncRequestFactory().get("/a"), "/a", FORMATS[SSE], Permit(), viewer=True)
    subscriber, channel = ResponseStream(answer), LocalChannel("/a")
    channel.add(subscriber)
    publish_thousand(subscriber)
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 3600.0)
    assert channel.crowded  # as long as its time is not over
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 0.0)
    assert not channel.crowded
    publish_thousand(subscriber)
    assert not channel.crowded
    subscriber.close(GOING_AWAY)


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [
        (PAYLOADS, b'{"type":"lost","messages":3,"reason":"slow"}'),
        (FRAMES, b'\x81\x2c{"type":"lost","messages":3,"reason":"slow"}'),
        (EVENTS, b'event: lost\ndata: {"type":"lost","messages":3,"reason":"slow"}\n\n'),
        (EVENT_CHUNKS, b'40\r\nevent: lost\ndata: {"type":"lost","messages":3,"reason":"slow"}\n\n\r\n'),
        (LINES, b'{"type":"lost","messages":3,"reason":"slow"}\n'),
        (LINE_FRAMES, b'\x81\x2c{"type":"lost","messages":3,"reason":"slow"}'),
        (LINE_EVENTS, b'event: lost\ndata: {"type":"lost","messages":3,"reason":"slow"}\n\n'),
    ],
)
def test_notice_has_the_encoding_of_the_stream(encoder: Any, expected: bytes) -> None:
    assert encoder.notice("lost", notices.lost(3)) == expected


def test_singles_are_made_once() -> None:
    batch = Batch([Message("a"), Message(b"b")])
    singles = batch.singles(PAYLOADS, 100)
    assert batch.singles(PAYLOADS, 100) is singles
    assert [(piece.data, piece.binary, piece.size) for piece in singles] == [(b"a", False, 101), (b"b", True, 101)]
