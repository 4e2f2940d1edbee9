from __future__ import annotations

import asyncio
import gc
import json
import threading
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from eventcast.engine import fanout, hub, messages, names, patterns, presence, publishing
from eventcast.engine.hub import Hub, current_hub, hubs
from eventcast.engine.patterns import Pattern
from eventcast.engine.subscribers import Subscriber
from eventcast.exceptions import LayerUnavailable
from eventcast.layers import InMemoryChannelLayer, get_layer
from tests.fakes import FakeTransport, FlakyLayer, StuckTransport, close_loop, layer_in_use, until


class Audience:
    """Subscribers of a hub, all of whom leave in the end."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.present: list[tuple[str | Pattern, Subscriber]] = []

    async def join(self, channel: str | Pattern, transport: FakeTransport | None = None) -> FakeTransport:
        transport = transport or FakeTransport()
        subscriber = Subscriber(transport)
        await self.hub.subscribe(channel, subscriber)
        self.present.append((channel, subscriber))
        return transport

    async def leave(self, transport: FakeTransport) -> None:
        channel, subscriber = next(one for one in self.present if one[1].transport is transport)
        self.present.remove((channel, subscriber))
        await self.hub.unsubscribe(channel, subscriber)

    async def leave_all(self) -> None:
        for _, subscriber in list(self.present):
            await self.leave(subscriber.transport)  # type: ignore[arg-type]


@pytest.fixture
async def audience() -> AsyncIterator[Audience]:
    found = Audience(current_hub())
    yield found
    await found.leave_all()


def publish(channel: str, *data: str) -> None:
    get_layer().group_send_nowait(  # type: ignore[attr-defined]
        names.group_name(channel), {"type": "eventcast.messages", "channel": channel, "messages": list(data)}
    )


# --- who listens ------------------------------------------------------------------------------------------------------


async def test_subscribe_makes_the_channel(audience: Audience) -> None:
    await audience.join("/a")
    assert audience.hub.channels["/a"].count == 1


async def test_subscribe_shares_the_channel(audience: Audience) -> None:
    await audience.join("/a")
    await audience.join("/a")
    assert audience.hub.channels["/a"].count == 2


async def test_unsubscribe_releases_the_transport(audience: Audience) -> None:
    transport = await audience.join("/a")
    await audience.leave(transport)
    assert transport.released


async def test_unsubscribe_of_the_last_forgets_the_channel(audience: Audience) -> None:
    await audience.leave(await audience.join("/a"))
    assert audience.hub.channels == {}


async def test_unsubscribe_keeps_the_channel_of_others(audience: Audience) -> None:
    await audience.join("/a")
    await audience.leave(await audience.join("/a"))
    assert audience.hub.channels["/a"].count == 1


async def test_unsubscribe_after_the_transport_left_counts_once(audience: Audience) -> None:
    await audience.join("/a")
    gone = await audience.join("/a")
    audience.present[1][1].leave()
    await audience.leave(gone)
    assert audience.hub.channels["/a"].count == 1


async def test_many_channels_opened_and_left_leave_no_trace(audience: Audience) -> None:
    tasks = asyncio.all_tasks()
    layer = InMemoryChannelLayer()
    with layer_in_use(layer):
        for number in range(500):
            transport = await audience.join(f"/{number}")
            publish(f"/{number}", "x")
            await asyncio.sleep(0)
            await audience.leave(transport)
    await until(lambda: asyncio.all_tasks() == tasks)
    assert audience.hub.channels == audience.hub._memberships._memberships == {}
    assert layer.statistics().groups == 0


async def test_forgotten_channel_and_subscriber_are_garbage(audience: Audience) -> None:
    transport = await audience.join("/a")
    subscriber = audience.present[0][1]
    finalizer = weakref.finalize(transport, lambda: None)
    publish("/a", "x")
    await until(lambda: transport.data)  # noqa: F821
    await audience.leave(transport)
    del transport, subscriber
    gc.collect()
    assert not finalizer.alive


async def test_failed_subscribe_leaves_no_trace(audience: Audience) -> None:
    layer = FlakyLayer()
    layer.failing = {"group_add"}
    with layer_in_use(layer), pytest.raises(LayerUnavailable):
        await audience.join("/a")
    assert audience.hub.channels == audience.hub._memberships._memberships == {}


async def test_who_comes_while_the_last_is_leaving_hears(audience: Audience) -> None:
    layer = FlakyLayer()
    with layer_in_use(layer):
        first = await audience.join("/a")
        layer.gate = asyncio.Event()
        leaving = asyncio.create_task(audience.leave(first))
        await until(lambda: "group_discard" in layer.calls)
        joining = asyncio.create_task(audience.join("/a"))
        await asyncio.sleep(0)
        layer.gate.set()
        await leaving
        second = await joining
        await publishing.apublish("/a", "x")
        await until(lambda: second.data == ["x"])
        await audience.leave_all()


# --- what they hear ---------------------------------------------------------------------------------------------------


async def test_message_reaches_everybody_on_its_channel(audience: Audience) -> None:
    transports = [await audience.join("/a") for _ in range(3)]
    publish("/a", "x")
    await until(lambda: all(transport.data == ["x"] for transport in transports))


async def test_message_reaches_nobody_on_another_channel(audience: Audience) -> None:
    here, there = await audience.join("/a"), await audience.join("/a/")
    publish("/a", "x")
    await until(lambda: here.data)
    publish("/a/", "end")
    await until(lambda: there.data)
    assert there.data == ["end"]


async def test_messages_arrive_in_order(audience: Audience) -> None:
    transport = await audience.join("/a")
    expected = [str(number) for number in range(2000)]
    for number in range(0, 2000, 100):
        for text in expected[number : number + 100]:
            publish("/a", text)
        await asyncio.sleep(0)
    await until(lambda: len(transport.data) == 2000)
    assert transport.data == expected


async def test_messages_of_one_turn_of_the_loop_leave_together(audience: Audience) -> None:
    class Counting(FakeTransport):
        writes = 0

        def write(self, batch: Any) -> bool:
            self.writes += 1
            return super().write(batch)

    transport = Counting()
    await audience.join("/a", transport)
    for number in range(20):
        publish("/a", str(number))
    await until(lambda: len(transport.data) == 20)
    assert transport.writes == 1


@pytest.mark.parametrize(
    "event",
    [
        {"type": "eventcast.messages"},
        {"type": "eventcast.messages", "channel": "/a"},
        {"type": "eventcast.messages", "channel": "/a", "messages": [5]},
        {"type": "eventcast.messages", "channel": "/a", "messages": None},
        {"type": "eventcast.messages", "channel": ["/a"], "messages": ["x"]},
        {"type": "eventcast.messages", "channel": "/a", "messages": ["\ud800"]},
    ],
    ids=str,
)
async def test_what_is_not_from_eventcast_stops_nothing(
    audience: Audience, event: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    transport = await audience.join("/a")
    get_layer().group_send_nowait(names.group_name("/a"), event)  # type: ignore[attr-defined]
    publish("/a", "x")
    await until(lambda: transport.data == ["x"])
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_message_for_a_channel_nobody_joined_makes_the_layer_forget(audience: Audience) -> None:
    await audience.join("/a")
    layer = get_layer()
    await layer.group_add(names.group_name("/b"), audience.hub._memberships._layer_channel)
    publish("/b", "x")
    await until(lambda: names.group_name("/b") not in layer.groups)  # type: ignore[attr-defined]


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each slice is one write."""
    monkeypatch.setattr(hub, "SLICE", 0.0)
    monkeypatch.setattr(fanout, "BUFFERED_STRIDE", 1)


@pytest.mark.usefixtures("no_patience")
async def test_long_fan_out_lets_others_have_the_event_loop(audience: Audience) -> None:
    transports = [await audience.join("/a") for _ in range(20)]
    publish("/a", "x")
    seen = set()
    while not transports[-1].data:
        await asyncio.sleep(0)
        seen.add(sum(len(transport.data) for transport in transports))
    assert len(seen) >= 20


@pytest.mark.usefixtures("no_patience")
async def test_long_fan_out_lets_other_channels_in(audience: Audience) -> None:
    many = [await audience.join("/a") for _ in range(20)]
    other = await audience.join("/b")
    publish("/a", "x")
    publish("/b", "x")
    while not other.data:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert not many[-1].data


@pytest.mark.usefixtures("no_patience")
async def test_what_is_published_during_a_fan_out_is_heard_after_it(audience: Audience) -> None:
    transports = [await audience.join("/a") for _ in range(5)]
    publish("/a", "1")
    await until(lambda: transports[0].data)
    publish("/a", "2", "3")
    await until(lambda: all(transport.data == ["1", "2", "3"] for transport in transports))


async def test_channel_stands_in_line_once_however_much_is_published(audience: Audience) -> None:
    class Looking(FakeTransport):
        def write(self, batch: Any) -> bool:
            others_in_line.append(len(audience.hub._in_line))
            return super().write(batch)

    others_in_line: list[int] = []
    transport = await audience.join("/a", Looking())
    for number in range(5):
        publish("/a", str(number))
    await until(lambda: len(transport.data) == 5)
    assert others_in_line == [0]


async def test_make_room_waits_until_the_backlog_is_half_empty(
    audience: Audience, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "BACKLOG_LIMIT", 10)
    await audience.join("/a")
    local = audience.hub.channels["/a"]
    local.backlog = 6
    waiting = asyncio.create_task(audience.hub.make_room("/a"))
    await asyncio.sleep(0)
    assert not waiting.done()
    local.backlog = 5
    await asyncio.wait_for(waiting, 10)


async def test_make_room_does_not_wait_for_an_event_loop_that_has_ended() -> None:
    async def leave_a_backlog() -> Audience:
        ended = Audience(current_hub())
        await ended.join("/a")
        ended.hub.channels["/a"].backlog = hub.BACKLOG_LIMIT
        return ended

    loop = asyncio.new_event_loop()
    ended = await asyncio.to_thread(loop.run_until_complete, leave_a_backlog())
    try:
        await asyncio.wait_for(ended.hub.make_room("/a"), 1)
    finally:
        await asyncio.to_thread(loop.run_until_complete, ended.leave_all())
        await asyncio.to_thread(close_loop, loop)


async def test_make_room_returns_at_once_for_channel_without_subscribers(audience: Audience) -> None:
    await asyncio.wait_for(audience.hub.make_room("/nobody"), 1)


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_say_goodbye_closes_everybody_with_1001(audience: Audience) -> None:
    transports = [await audience.join(f"/{number}") for number in range(3)]
    assert audience.hub.say_goodbye() == transports
    assert [transport.close_code for transport in transports] == [1001] * 3


async def test_say_goodbye_writes_nothing_more(audience: Audience) -> None:
    transport = await audience.join("/a")
    publish("/a", "x")
    audience.hub.say_goodbye()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert transport.data == []


async def test_say_goodbye_leaves_no_counts(audience: Audience) -> None:
    await audience.join("/a")
    audience.hub.say_goodbye()
    assert presence.subscriber_count("/a") == 0


async def test_say_goodbye_lets_nobody_in_any_more(audience: Audience) -> None:
    audience.hub.say_goodbye()
    assert audience.hub.stopping


async def test_say_goodbye_includes_who_does_not_read(audience: Audience) -> None:
    transport = StuckTransport(pending=5)
    await audience.join("/a", transport)
    audience.hub.say_goodbye()
    assert transport.close_code == 1001


# --- event loops ------------------------------------------------------------------------------------------------------


async def test_current_hub_is_one_for_a_loop() -> None:
    assert current_hub() is current_hub()


async def test_current_hub_differs_between_loops() -> None:
    found = []

    async def find() -> None:
        found.append(current_hub())

    await asyncio.to_thread(asyncio.run, find())
    assert found[0] is not current_hub()


def test_current_hub_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError):
        current_hub()


async def test_hubs_holds_those_of_all_loops() -> None:
    assert current_hub() in hubs()


async def test_hub_goes_with_its_loop() -> None:
    def run() -> weakref.ref[Hub]:
        async def find() -> weakref.ref[Hub]:
            return weakref.ref(current_hub())

        return asyncio.run(find())

    found = await asyncio.to_thread(run)
    gc.collect()
    assert found() is None


async def test_subscribers_of_two_loops_hear_one_publish(audience: Audience) -> None:
    there, ready, done = FakeTransport(), threading.Event(), threading.Event()

    async def listen() -> None:
        other = Audience(current_hub())
        await other.join("/a", there)
        ready.set()
        await until(lambda: there.data)
        await asyncio.to_thread(done.wait, 10)
        await other.leave_all()

    thread = threading.Thread(target=asyncio.run, args=(listen(),))
    thread.start()
    await asyncio.to_thread(ready.wait, 10)
    here = await audience.join("/a")
    count = presence.subscriber_count("/a")
    publish("/a", "x")
    await until(lambda: here.data and there.data)
    done.set()
    await asyncio.to_thread(thread.join, 10)
    assert (count, here.data, there.data) == (2, ["x"], ["x"])


# --- by a pattern -----------------------------------------------------------------------------------------------------


def lines(transport: FakeTransport) -> list[tuple[str, str]]:
    """The channel and text of each envelope that arrived."""
    found = [json.loads(data) for data in transport.data]
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
    assert json.loads(by_pattern.data[0])["base64"] == "AA=="


async def test_subscriber_by_a_pattern_is_counted_on_the_channels_it_hears(audience: Audience) -> None:
    await audience.join("/a")
    await audience.join(patterns.parse("/<x>"))
    assert publishing.publish("/a", "x") == 2
    assert publishing.publish("/b", "x") == 1
    assert publishing.publish("/b/c", "x") == 0


async def test_patterns_that_differ_in_names_share_a_channel(audience: Audience) -> None:
    transports = [await audience.join(patterns.parse(text)) for text in ("/<a>", "/<str:b>")]
    assert len(audience.hub.patterns) == 1
    publishing.publish("/x", "hello")
    await until(lambda: all(transport.data for transport in transports))


async def test_last_subscriber_by_a_pattern_leaves_nothing_behind(audience: Audience) -> None:
    texts = ("/a/<x>", "/a/<x>/b", "/a/<path:x>", "/a")
    transports = [await audience.join(patterns.parse(text)) for text in texts]
    for transport in transports:
        await audience.leave(transport)
    assert not audience.hub.patterns
    assert audience.hub.patterns._root.empty
    assert not get_layer().groups  # type: ignore[attr-defined]


async def test_patterns_leave_apart_from_each_other(audience: Audience) -> None:
    goes, stays = [await audience.join(patterns.parse(text)) for text in ("/a/<x>", "/a/<x>/b")]
    await audience.leave(goes)
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


async def test_group_of_patterns_is_left_when_something_comes_for_nobody(audience: Audience) -> None:
    await audience.join("/a")
    layer, layer_channel = get_layer(), audience.hub._memberships._layer_channel
    await layer.group_add(publishing.EVERYWHERE, layer_channel)
    publishing.publish("/a", "x")
    await until(lambda: publishing.EVERYWHERE not in layer.groups)  # type: ignore[attr-defined]


async def test_disconnect_of_all_spares_those_who_listen_by_a_pattern(audience: Audience) -> None:
    by_name, by_pattern = await audience.join("/a"), await audience.join(patterns.parse("/<x>"))
    presence.disconnect("/a")
    await until(lambda: by_name.closed)
    assert not by_pattern.closed
    [found] = [info for info in presence.subscribers("/a") if info.pattern]
    presence.disconnect("/a", found.id)
    await until(lambda: by_pattern.closed)


async def test_say_goodbye_reaches_those_who_listen_by_a_pattern(audience: Audience) -> None:
    transport = await audience.join(patterns.parse("/<x>"))
    assert transport in audience.hub.say_goodbye()
    audience.hub.stopping = False
