"""Subscribers to patterns: what they hear, and what they leave behind."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from eventcast.engine import messages, patterns, presence, publishing, sending
from eventcast.engine.encoders import LINE_FRAMES
from eventcast.layers import get_layer
from tests.audience import Audience
from tests.fakes import FakeSubscriber, FlakyLayer, frames_in, layer_in_use, until


@pytest.fixture
async def audience() -> AsyncIterator[Audience]:
    found = Audience()
    yield found
    found.leave_all()


def lines(subscriber: FakeSubscriber) -> list[tuple[str, str]]:
    """The channel and text of each message that arrived, as its client gets them."""
    found = [json.loads(payload) for _, payload in frames_in(subscriber.encoder.encode(subscriber.messages))]
    return [(message["channel"], message["data"]) for message in found]


async def test_subscriber_by_a_pattern_hears_every_channel_that_matches(audience: Audience) -> None:
    listener = await audience.join(patterns.parse("/a/<int:id>"))
    for channel in ("/a/1", "/b", "/a/x", "/a/2"):
        publishing.publish(channel, f"to {channel}")
    await until(lambda: len(listener.data) == 2)
    assert lines(listener) == [("/a/1", "to /a/1"), ("/a/2", "to /a/2")]


async def test_subscribers_of_the_channel_hear_the_message_itself(audience: Audience) -> None:
    by_name, by_pattern = await audience.join("/a"), await audience.join(patterns.parse("/<x>"))
    publishing.publish("/a", b"\x00")
    await until(lambda: by_name.data and by_pattern.data)
    assert by_name.data == [b"\x00"]
    assert by_pattern.encoder is LINE_FRAMES


async def test_subscriber_by_a_pattern_is_counted_on_the_channels_it_hears(audience: Audience) -> None:
    await audience.join("/a")
    await audience.join(patterns.parse("/<x>"))
    assert publishing.publish("/a", "x") == 2
    assert publishing.publish("/b", "x") == 1
    assert publishing.publish("/b/c", "x") == 0


async def test_patterns_that_differ_in_names_share_a_channel(audience: Audience) -> None:
    subscribers = [await audience.join(patterns.parse(text)) for text in ("/<a>", "/<str:b>")]
    assert len(list(audience.hub.patterns)) == 1
    publishing.publish("/x", "hello")
    await until(lambda: all(subscriber.data for subscriber in subscribers))


async def test_last_subscriber_by_a_pattern_leaves_nothing_behind(audience: Audience) -> None:
    texts = ("/a/<x>", "/a/<x>/b", "/a/<path:x>", "/a")
    subscribers = [await audience.join(patterns.parse(text)) for text in texts]
    for subscriber in subscribers:
        audience.leave(subscriber)
    assert not audience.hub.patterns
    assert not get_layer().groups  # type: ignore[attr-defined]


async def test_patterns_leave_apart_from_each_other(audience: Audience) -> None:
    goes, stays = [await audience.join(patterns.parse(text)) for text in ("/a/<x>", "/a/<x>/b")]
    audience.leave(goes)
    publishing.publish("/a/1/b", "hello")
    await until(lambda: stays.data)


async def test_message_that_no_pattern_matches_is_not_decoded(
    audience: Audience, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = await audience.join(patterns.parse("/a/<x>"))
    decoded: list[str] = []
    from_layer = messages.from_layer
    monkeypatch.setattr(messages, "from_layer", lambda event: decoded.append(event["channel"]) or from_layer(event))
    publishing.publish("/b/1", "x")
    publishing.publish("/a/1", "x")
    await until(lambda: listener.data)
    assert decoded == ["/a/1"]


async def test_group_of_patterns_is_left_when_no_subscriber_wants_what_comes(audience: Audience) -> None:
    with layer_in_use(FlakyLayer()) as layer:
        await audience.join("/a")
        await layer.group_add(sending.EVERYWHERE, audience.hub._memberships._layer_channel)
        await publishing.apublish("/a", "x")
        await until(lambda: sending.EVERYWHERE not in layer.groups)
        audience.leave_all()


async def test_disconnect_of_all_spares_those_who_listen_by_a_pattern(audience: Audience) -> None:
    by_name, by_pattern = await audience.join("/a"), await audience.join(patterns.parse("/<x>"))
    presence.disconnect("/a")
    await until(lambda: by_name.closed)
    assert not by_pattern.closed
    [found] = [info for info in presence.subscribers("/a") if info.pattern]
    presence.disconnect("/a", found.id)
    await until(lambda: by_pattern.closed)


async def test_stop_reaches_those_who_listen_by_a_pattern(audience: Audience) -> None:
    subscriber = await audience.join(patterns.parse("/<x>"))
    assert subscriber in audience.hub.stop()
    audience.hub.stopping = False
