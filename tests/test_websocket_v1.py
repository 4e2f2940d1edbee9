"""The subprotocol eventcast.v1: what its frames say, and when they are sent."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import eventcast
from eventcast.engine import closing, notices, presence
from eventcast.engine.closing import Closing
from eventcast.engine.encoders import Batch
from eventcast.engine.fanout import LocalChannel
from eventcast.engine.hub import current_hub
from eventcast.engine.keepalive import PingSchedule
from eventcast.engine.messages import Message
from eventcast.engine.patterns import parse
from eventcast.engine.publishing import apublish
from eventcast.exceptions import InvalidEventName, MalformedBody
from eventcast.websocket import v1
from eventcast.websocket.consumer import EventcastConsumer
from eventcast.websocket.frames import CLOSE, PING, PONG, TEXT
from tests.fakes import until, websocket
from tests.peers import Peer, make_peers, masked

peers = pytest.fixture(make_peers)


def said(frame: tuple[int, bytes]) -> dict[str, Any]:
    opcode, payload = frame
    assert opcode == TEXT
    found: dict[str, Any] = json.loads(payload)
    return found


async def connect(peers: list[Peer], **options: Any) -> Peer:
    peers.append(Peer(kind=v1.V1Connection, **options))
    peer = await peers[-1].connect(peers[-1].connection.greeting("/a"))
    assert said(await peer.frame())["type"] == "hello"
    return peer


# --- the frames -------------------------------------------------------------------------------------------------------


def test_hello_names_the_channel_or_the_pattern() -> None:
    server = {"type": "hello", "server": f"eventcast/{eventcast.__version__}", "heartbeat": 20}
    assert json.loads(notices.hello("/张", 20, publish=True)) == server | {"channel": "/张", "publish": True}
    pattern = parse("/a/<int:id>")
    assert json.loads(notices.hello(pattern, 20, publish=False)) == server | {"pattern": pattern.text, "publish": False}


@pytest.mark.parametrize(
    ("ends", "retry"),
    [
        (closing.GOING_AWAY, [0.5, 4]),
        (closing.TOO_SLOW, [0.5, 4]),
        (closing.TOO_MUCH, [0.5, 4]),
        (closing.EXPIRED, [0, 1]),
        (closing.REVOKED, [0, 1]),
        (closing.OPERATOR, [15, 30]),
        (closing.ONLY_LISTENS, [15, 30]),
        (Closing(closing.MESSAGE_TOO_BIG, "x"), [15, 30]),
        (Closing(closing.PROTOCOL_ERROR, "x"), None),
        (Closing(closing.INVALID_DATA, "x"), None),
    ],
)
def test_bye_says_when_to_come_back(ends: Closing, retry: list[float] | None) -> None:
    assert json.loads(notices.bye(ends)) == {"type": "bye", "code": ends.code, "reason": ends.reason, "retry": retry}


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ('{"data": "张"}', "张"),
        (b'{"data": ""}', ""),
        ('{"base64": "/w==", "more": 1}', b"\xff"),
        ('{"base64": ""}', b""),
        ('{"data": "x", "base64": "/w=="}', "x"),
        ('{"type": "data", "data": "x"}', None),
    ],
)
def test_message_is_read_from_a_frame(frame: str | bytes, message: str | bytes | None) -> None:
    assert v1.message_in(frame) == (None if message is None else (message, ""))


def test_message_in_a_frame_may_have_the_name_of_an_event() -> None:
    assert v1.message_in('{"data": "x", "event": "paid"}') == ("x", "paid")
    with pytest.raises(InvalidEventName):
        v1.message_in('{"data": "x", "event": "a\\nb"}')


@pytest.mark.parametrize(
    "frame",
    [
        *("", "x", "1", "null", '"type"', '["type"]', "{}", "[" * 9999, b"\xff"),
        *(
            '{"data": 1}',
            '{"data": null}',
            '{"base64": "!"}',
            '{"base64": 1}',
            '{"base64": "_w=="}',
            '{"data": "", "event": 1}',
        ),
    ],
)
def test_frame_that_has_no_message_is_refused(frame: str | bytes) -> None:
    with pytest.raises(MalformedBody):
        v1.message_in(frame)


# --- on a socket of our own -------------------------------------------------------------------------------------------


async def test_messages_are_lines_in_order(peers: list[Peer]) -> None:
    peer = await connect(peers)
    await apublish("/a", "text")
    await apublish("/a", b"\xff")
    first, second = said(await peer.frame()), said(await peer.frame())
    assert (first["channel"], first["data"], second["base64"]) == ("/a", "text", "/w==")
    assert first["time"] <= second["time"]


async def test_idle_client_gets_a_heartbeat_and_a_ping(peers: list[Peer]) -> None:
    schedule = PingSchedule(1, 1)
    peer = await connect(peers, pings=schedule)
    schedule.tick(0)
    assert said(await peer.frame()) == {"type": "heartbeat"}
    assert await peer.frame() == (PING, b"")


async def test_client_with_something_pending_gets_no_heartbeat(peers: list[Peer]) -> None:
    schedule = PingSchedule(1, 30)
    peer = await connect(peers, pings=schedule, buffer=4096)
    await apublish("/a", "x" * 500_000)
    schedule.tick(0)
    await peer.frame()
    await peer.send(masked(PING, b"next"))
    assert await peer.frame() == (PONG, b"next")


async def test_bye_is_the_last_frame_before_the_close_frame(peers: list[Peer]) -> None:
    peer = await connect(peers, buffer=4096)
    await apublish("/a", "x" * 100_000)
    peer.connection.close(closing.OPERATOR)
    await apublish("/a", "not heard")
    assert said(await peer.frame())["channel"] == "/a"
    assert said(await peer.frame())["type"] == "bye"
    assert (await peer.frame())[0] == CLOSE


async def test_close_of_the_client_is_answered_without_bye(peers: list[Peer]) -> None:
    peer = await connect(peers)
    await peer.send(masked(CLOSE, b"\x03\xe8"))
    assert await peer.rest() == [(CLOSE, b"\x03\xe8")]


# --- by ASGI ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def subscriber() -> AsyncIterator[tuple[v1.V1ASGIWebSocket, list[dict[str, Any]]]]:
    sent: list[dict[str, Any]] = []

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    subscriber = v1.V1ASGIWebSocket(send, "/a", publish=False)
    LocalChannel("/a").add(subscriber)
    yield subscriber, sent
    subscriber.release()


Subscribed = tuple[v1.V1ASGIWebSocket, list[dict[str, Any]]]


def test_hello_says_in_how_many_seconds_the_permission_ends() -> None:
    assert 99 < json.loads(notices.hello("/a", 20, time.time() + 100, publish=True))["expires"] <= 100
    assert json.loads(notices.hello("/a", 20, time.time() - 1, publish=True))["expires"] == 0


async def test_hello_comes_before_messages_of_the_handshake(subscriber: Subscribed) -> None:
    listener, sent = subscriber
    listener.write(Batch([Message("early", "/a"), Message(b"\xff", "/a")]))
    listener.open()
    await until(lambda: len(sent) == 3)
    hello, text, binary = (json.loads(event["text"]) for event in sent)
    assert (hello["heartbeat"], text["data"], binary["base64"]) == (20, "early", "/w==")


async def test_message_by_a_pattern_is_its_line(subscriber: Subscribed) -> None:
    listener = v1.V1ASGIWebSocket(None, parse("/<a>"), publish=False)  # type: ignore[arg-type]
    line = Message("x", "/a")
    assert listener.encoder.encode([line]) == line.line()[:-1]


async def test_keepalive_sends_heartbeats_until_release(subscriber: Subscribed) -> None:
    listener, sent = subscriber
    schedule = current_hub().keepalive.schedule(v1.HEARTBEAT, None)
    listener.open()
    await until(lambda: len(sent) == 1)
    for second in range(20):
        schedule.tick(second)
    await until(lambda: len(sent) == 2)
    assert json.loads(sent[1]["text"]) == {"type": "heartbeat"}
    listener.release()
    assert schedule.count == 0


async def test_bye_comes_before_the_close_event() -> None:
    offers = ["eventcast", "eventcast.v1"]
    connection = await websocket(EventcastConsumer.as_asgi(), "/a", subprotocols=offers).connect()
    assert connection.sent[0] == {"type": "websocket.accept", "subprotocol": "eventcast.v1"}
    presence.disconnect("/a")
    assert connection.task is not None
    await asyncio.wait({connection.task}, timeout=20)
    *_, bye, close = connection.sent
    assert json.loads(bye["text"])["code"] == close["code"] == closing.DISCONNECTED
