"""What a client chooses stands in the log in quotes, short, and without what begins a line or moves a cursor."""

from __future__ import annotations

import io
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.test import override_settings

from eventcast.authorization import Permit
from eventcast.engine import names
from eventcast.engine.closing import REVOKED
from eventcast.engine.encoders import Batch
from eventcast.engine.fanout import BACKLOG_LIMIT, LocalChannel
from eventcast.engine.messages import Message
from eventcast.engine.publishing import apublish
from eventcast.engine.subscribers import Subscriber
from eventcast.exceptions import LayerUnavailable, Refused
from eventcast.http import answers, streams
from eventcast.http.formats import FORMATS, SSE
from eventcast.security import clients, revocation
from eventcast.websocket import consumer as consumers
from eventcast.websocket import handshake, speaking
from tests.fakes import FakeSubscriber, FlakyLayer, layer_in_use

LIES = "/a\n2026-01-01 ERROR all is lost\r\x1b[2J\u2028\u202e"
LONG = LIES + "x" * 15_000

LONGEST = 900
"""Characters of the longest line: what two clients chose, and what we say about it."""


def scope_of(channel: str) -> dict[str, Any]:
    path = quote(channel)
    return {
        "type": "http",
        "method": "POST" + channel,
        "path": channel,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "client": ["::1" + channel, 80],
    }


def request_to(channel: str) -> ASGIRequest:
    return ASGIRequest(scope_of(channel), io.BytesIO())


def subscriber_of(channel: str) -> Subscriber:
    subscriber = FakeSubscriber(peer=clients.describe(scope_of(channel)), user=channel)
    LocalChannel(channel).add(subscriber)
    return subscriber


async def refuse_request(channel: str) -> None:
    answers.refused(request_to(channel), Refused("No."))


async def refuse_socket(channel: str) -> None:
    await consumers.refuse(Refused("No."), scope_of(channel), _swallow, None)


async def refuse_socket_without_a_raw_path(channel: str) -> None:
    await consumers.refuse(Refused("No."), {**scope_of(channel), "raw_path": None}, _swallow, None)


async def refuse_socket_at_the_door(channel: str) -> None:
    handshake.note_refused(Refused("No."), quote(channel).encode(), clients.describe(scope_of(channel)))


async def _swallow(event: dict[str, Any]) -> None:
    """What an ASGI server would send."""


async def refuse_message(channel: str) -> None:
    speaker = speaking.Speaker(request_to(channel), Permit(), channel)
    with override_settings(EVENTCAST={"MAX_MESSAGE_SIZE": 1}):
        await speaker.say("No.", subscriber_of(channel))


async def close_slow_subscriber(channel: str) -> None:
    subscriber_of(channel)._overflow(Batch([Message("x")]))


async def close_subscriber(channel: str) -> None:
    revocation.close([subscriber_of(channel)], REVOKED)


async def leave_out_subscriber(channel: str) -> None:
    LocalChannel._discard_failing(subscriber_of(channel), Batch([Message("x")]))


async def overrun_channel(channel: str) -> None:
    local = LocalChannel(channel)
    local.publish([Message("x")])
    local.publish([Message("x" * BACKLOG_LIMIT)])
    while not local.advance(float("inf")):
        pass


async def publish_by_a_layer_that_is_down(channel: str) -> None:
    layer = FlakyLayer()
    layer.failing = {"group_send"}
    with layer_in_use(layer), pytest.raises(LayerUnavailable):
        await apublish(channel[:1000], "x")


async def stream_from_a_layer_that_is_down(channel: str) -> None:
    layer = FlakyLayer()
    answer = streams.Stream(request_to(channel), channel, FORMATS[SSE], Permit())
    layer.failing = {"group_add", "group_discard"}
    with layer_in_use(layer):
        async for _ in streams._body(answer):
            pass


WAYS: list[Callable[[str], Awaitable[None]]] = [
    refuse_request,
    refuse_socket,
    refuse_socket_without_a_raw_path,
    refuse_socket_at_the_door,
    refuse_message,
    close_slow_subscriber,
    close_subscriber,
    leave_out_subscriber,
    overrun_channel,
    publish_by_a_layer_that_is_down,
    stream_from_a_layer_that_is_down,
]


@pytest.mark.parametrize("channel", [LIES, LONG], ids=["lies", "long"])
@pytest.mark.parametrize("way", WAYS)
async def test_line_is_short_and_printable(
    way: Callable[[str], Awaitable[None]], channel: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "eventcast")
    await way(channel)
    lines = [record.getMessage() for record in caplog.records]
    assert lines
    assert [line for line in lines if not line.isprintable() or len(line) > LONGEST] == []


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("/a b", "'/a b'"),
        ("/张三", "'/张三'"),
        ("/a\n\x1b", r"'/a\n\x1b'"),
        (b"/%FF", "b'/%FF'"),
        ("x" * 198, f"'{'x' * 198}'"),
        ("x" * 199, f"'{'x' * 198}…"),
        ("\n" * 1_000_000, f"'{(chr(92) + 'n') * 99}…"),
    ],
)
def test_quoted_text_is_short_and_printable(text: str | bytes, quoted: str) -> None:
    assert names.quoted(text) == quoted
