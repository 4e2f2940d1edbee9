"""Speaking on a WebSocket: what its client sends is published, in order, if it may."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import override_settings

from eventcast.authorization import Open, Permit
from eventcast.engine import presence
from eventcast.engine.presence import subscriber_count
from eventcast.engine.publishing import apublish
from eventcast.websocket.consumer import EventcastConsumer
from tests.fakes import Connection, FlakyLayer, layer_in_use, until, websocket

application = EventcastConsumer.as_asgi()
speaking = override_settings(EVENTCAST={"WEBSOCKET_PUBLISH": True})


async def connect(target: str = "/a", **scope: Any) -> Connection:
    return await websocket(application, target, **scope).connect()


def say(connection: Connection, message: str | bytes) -> None:
    form = "text" if isinstance(message, str) else "bytes"
    connection.inbox.put_nowait({"type": "websocket.receive", form: message})


async def ended(connection: Connection) -> int:
    """The code with which a connection is closed."""
    assert connection.task is not None
    await asyncio.wait([connection.task], timeout=10)
    assert connection.sent[-1]["type"] == "websocket.close"
    code: int = connection.sent[-1]["code"]
    return code


@speaking
async def test_message_is_published_verbatim_to_all_and_to_its_speaker() -> None:
    speaker, listener, other = await connect(), await connect(), await connect("/b")
    said: list[str | bytes] = ["text", b"\xff", "", b"", "张三"]
    for message in said:
        say(speaker, message)
    await until(lambda: speaker.heard == said and listener.heard == said)
    assert other.heard == []
    for connection in (speaker, listener, other):
        await connection.disconnect()


@speaking
async def test_event_with_both_forms_counts_as_the_one_it_has() -> None:
    speaker = await connect()
    speaker.inbox.put_nowait({"type": "websocket.receive", "text": None, "bytes": b"x"})
    speaker.inbox.put_nowait({"type": "websocket.receive", "text": "y", "bytes": None})
    await until(lambda: speaker.heard == [b"x", "y"])
    await speaker.disconnect()


async def test_message_is_ignored_by_default() -> None:
    speaker, listener = await connect(), await connect()
    say(speaker, "x")
    await speaker.disconnect()
    assert listener.heard == []
    await listener.disconnect()


@speaking
async def test_messages_stay_in_order_and_none_is_lost() -> None:
    speaker = await connect()
    said: list[str | bytes] = [str(number) for number in range(2000)]
    for message in said:
        say(speaker, message)
    await until(lambda: speaker.heard == said)
    assert presence.channel_info("/a").figures.lost == 0
    await speaker.disconnect()


@speaking
async def test_speaker_that_goes_on_gives_others_their_turn() -> None:
    speaker, turns = await connect(), 0
    for number in range(5000):
        say(speaker, str(number))
    while not speaker.inbox.empty():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 3
    await until(lambda: len(speaker.heard) == 5000)
    await speaker.disconnect()


@speaking
async def test_listener_by_a_pattern_has_nothing_to_speak_on() -> None:
    speaker, listener = await connect("/-/subscribe?pattern=/<x>"), await connect()
    say(speaker, "x")
    await speaker.disconnect()
    assert listener.heard == []
    await listener.disconnect()


# --- what may not be said ---------------------------------------------------------------------------------------------


@override_settings(EVENTCAST={"WEBSOCKET_PUBLISH": True, "MAX_MESSAGE_SIZE": 4})
async def test_message_that_is_too_large_closes_with_1009(caplog: pytest.LogCaptureFixture) -> None:
    speaker, listener = await connect(), await connect()
    for message in ("good", "too large", "late"):
        say(speaker, message)
    assert await ended(speaker) == 1009
    await until(lambda: listener.heard == ["good"])
    assert subscriber_count("/a") == 1
    (record,) = caplog.records
    assert "message_too_large" in record.getMessage()
    assert "192.0.2.1:12345" in record.getMessage()
    await listener.disconnect()


@speaking
async def test_message_while_the_layer_is_down_is_lost_counted_and_closes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    layer = FlakyLayer()
    with layer_in_use(layer):
        speaker, listener = await connect(), await connect()
        layer.failing = {"group_send"}
        say(speaker, "lost")
        await until(lambda: presence.channel_info("/a").figures.lost == 2)
        assert "Publishing to '/a' failed" in caplog.text
        layer.failing = set()
        say(speaker, "heard")
        await until(lambda: speaker.heard == listener.heard == ["heard"])
        await speaker.disconnect()
        await listener.disconnect()


class Announcements(Open):
    """Everybody may listen to everything, and publish to one channel."""

    def can_publish(self, request: HttpRequest, channel: str) -> Permit | bool:
        assert request.path == channel
        return Permit(user="zhang", expires_at=time.time() + 0.2) if channel == "/a" else False


announcing = override_settings(
    EVENTCAST={"WEBSOCKET_PUBLISH": True, "AUTHORIZATION": f"{__name__}.{Announcements.__name__}"}
)


@announcing
async def test_who_may_not_publish_still_listens() -> None:
    speaker, listener = await connect("/b"), await connect("/b")
    say(speaker, "ignored")
    await apublish("/b", "heard")
    await until(lambda: speaker.heard == listener.heard == ["heard"])
    for connection in (speaker, listener):
        await connection.disconnect()


@announcing
async def test_speaker_is_known_by_what_it_may_speak_by_and_closed_when_that_ends() -> None:
    speaker = await connect()
    assert presence.subscribers("/a")[0].user == "zhang"
    say(speaker, "x")
    await until(lambda: speaker.heard == ["x"])
    assert await ended(speaker) == 3000
    assert subscriber_count("/a") == 0


@override_settings(
    EVENTCAST={
        "WEBSOCKET_PUBLISH": True,
        "AUTHORIZATION": "eventcast.authorization.Keys",
        "KEYS": [{"key": "k" * 32, "name": "shop", "publish": ["/a"], "subscribe": ["/a"]}],
    }
)
async def test_key_of_the_handshake_lets_speak() -> None:
    speaker = await connect(headers=[(b"host", b"testserver"), (b"authorization", b"Bearer " + b"k" * 32)])
    say(speaker, "x")
    await until(lambda: speaker.heard == ["x"])
    await speaker.disconnect()
