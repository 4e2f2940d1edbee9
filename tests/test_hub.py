from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from eventcast.engine import hub, names, presence, publishing
from eventcast.engine.encoders import Batch
from eventcast.exceptions import LayerUnavailable
from eventcast.layers import InMemoryChannelLayer, get_layer
from tests.audience import Audience
from tests.fakes import FakeSubscriber, FlakyLayer, StuckSubscriber, layer_in_use, until


@pytest.fixture
async def audience() -> AsyncIterator[Audience]:
    found = Audience()
    yield found
    found.leave_all()


@pytest.fixture
def in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel with few subscribers waits for its turn as one with many."""
    monkeypatch.setattr(hub, "MAX_IMMEDIATE", 0)


def publish(channel: str, *data: str) -> None:
    get_layer().group_send_nowait(  # type: ignore[attr-defined]
        names.group_name(channel), {"type": "eventcast.messages", "channel": channel, "messages": list(data)}
    )


# --- subscribers ------------------------------------------------------------------------------------------------------


async def test_subscribe_makes_the_channel(audience: Audience) -> None:
    await audience.join("/a")
    assert audience.hub.channels["/a"].count == 1


async def test_subscribe_shares_the_channel(audience: Audience) -> None:
    await audience.join("/a")
    await audience.join("/a")
    assert audience.hub.channels["/a"].count == 2


async def test_unsubscribe_calls_on_end_once(audience: Audience) -> None:
    subscriber, ended = await audience.join("/a"), []
    subscriber.on_end = lambda: ended.append(1)
    audience.leave(subscriber)
    audience.hub.unsubscribe(subscriber)
    assert ended == [1]


async def test_unsubscribe_ignores_a_subscriber_that_never_subscribed(audience: Audience) -> None:
    await audience.join("/a")
    audience.hub.unsubscribe(FakeSubscriber())
    assert audience.hub.channels["/a"].count == 1


async def test_unsubscribe_of_the_last_forgets_the_channel(audience: Audience) -> None:
    audience.leave(await audience.join("/a"))
    assert audience.hub.channels == {}


async def test_unsubscribe_keeps_the_channel_of_others(audience: Audience) -> None:
    await audience.join("/a")
    audience.leave(await audience.join("/a"))
    assert audience.hub.channels["/a"].count == 1


async def test_unsubscribe_after_the_subscriber_left_counts_once(audience: Audience) -> None:
    await audience.join("/a")
    gone = await audience.join("/a")
    gone.leave()
    audience.leave(gone)
    assert audience.hub.channels["/a"].count == 1


async def test_many_channels_opened_and_left_leave_no_trace(audience: Audience) -> None:
    tasks = asyncio.all_tasks()
    layer = InMemoryChannelLayer()
    with layer_in_use(layer):
        for number in range(500):
            subscriber = await audience.join(f"/{number}")
            publish(f"/{number}", "x")
            await asyncio.sleep(0)
            audience.leave(subscriber)
    await until(lambda: asyncio.all_tasks() == tasks)
    assert audience.hub.channels == audience.hub._memberships._memberships == {}
    assert layer.statistics().groups == 0


async def test_forgotten_channel_and_subscriber_are_garbage(audience: Audience) -> None:
    subscriber = await audience.join("/a")
    finalizer = weakref.finalize(subscriber, lambda: None)
    publish("/a", "x")
    await until(lambda: subscriber.data)  # noqa: F821
    audience.leave(subscriber)
    del subscriber
    gc.collect()
    assert not finalizer.alive


async def test_failed_subscribe_leaves_no_trace(audience: Audience) -> None:
    layer = FlakyLayer()
    layer.failing = {"group_add"}
    with layer_in_use(layer), pytest.raises(LayerUnavailable):
        await audience.join("/a")
    await until(lambda: audience.hub.channels == audience.hub._memberships._memberships == {})


async def test_subscriber_that_comes_while_the_last_is_leaving_hears(audience: Audience) -> None:
    layer = FlakyLayer()
    with layer_in_use(layer):
        first = await audience.join("/a")
        layer.gate = asyncio.Event()
        audience.leave(first)
        await until(lambda: "group_discard" in layer.calls)
        joining = asyncio.create_task(audience.join("/a"))
        await asyncio.sleep(0)
        layer.gate.set()
        second = await joining
        await publishing.apublish("/a", "x")
        await until(lambda: second.data == ["x"])
        audience.leave_all()


# --- what they hear ---------------------------------------------------------------------------------------------------


async def test_message_reaches_all_on_its_channel(audience: Audience) -> None:
    subscribers = [await audience.join("/a") for _ in range(3)]
    publish("/a", "x")
    await until(lambda: all(subscriber.data == ["x"] for subscriber in subscribers))


async def test_message_does_not_reach_another_channel(audience: Audience) -> None:
    here, there = await audience.join("/a"), await audience.join("/a/")
    publish("/a", "x")
    await until(lambda: here.data)
    publish("/a/", "end")
    await until(lambda: there.data)
    assert there.data == ["end"]


async def test_messages_arrive_in_order(audience: Audience) -> None:
    subscriber = await audience.join("/a")
    expected = [str(number) for number in range(2000)]
    for number in range(0, 2000, 100):
        for text in expected[number : number + 100]:
            publish("/a", text)
        await asyncio.sleep(0)
    await until(lambda: len(subscriber.data) == 2000)
    assert subscriber.data == expected


@pytest.mark.usefixtures("in_turns")
async def test_messages_of_one_turn_of_the_loop_leave_together(audience: Audience) -> None:
    class Counting(FakeSubscriber):
        writes = 0

        def write(self, batch: Batch) -> bool:
            self.writes += 1
            return super().write(batch)

    subscriber = await audience.add("/a", Counting())
    for number in range(20):
        publish("/a", str(number))
    await until(lambda: len(subscriber.data) == 20)
    assert subscriber.writes == 1


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
    subscriber = await audience.join("/a")
    get_layer().group_send_nowait(names.group_name("/a"), event)  # type: ignore[attr-defined]
    publish("/a", "x")
    await until(lambda: subscriber.data == ["x"])
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_message_for_a_channel_that_was_not_joined_makes_the_layer_forget(audience: Audience) -> None:
    with layer_in_use(FlakyLayer()) as layer:
        await audience.join("/a")
        await layer.group_add(names.group_name("/b"), audience.hub._memberships._layer_channel)
        await publishing.apublish("/b", "x")
        await until(lambda: names.group_name("/b") not in layer.groups)
        audience.leave_all()


async def test_channel_with_few_subscribers_is_written_to_at_once(audience: Audience) -> None:
    subscribers = [await audience.join("/a") for _ in range(hub.MAX_IMMEDIATE)]
    publish("/a", "x")
    assert [subscriber.data for subscriber in subscribers] == [["x"]] * hub.MAX_IMMEDIATE


@pytest.mark.usefixtures("in_turns")
async def test_publish_is_with_the_hub_when_it_returns(audience: Audience) -> None:
    await audience.join("/a")
    publishing.publish("/a", "x")
    assert audience.hub.channels["/a"].messages == 1


async def test_subscriber_that_publishes_while_it_is_written_to_hears_in_order(audience: Audience) -> None:
    class Echoing(FakeSubscriber):
        def write(self, batch: Batch) -> bool:
            super().write(batch)
            if len(self.messages) < 5:
                publish("/a", str(len(self.messages)))
            return True

    echoing, other = await audience.add("/a", Echoing()), await audience.join("/a")
    publish("/a", "0")
    await until(lambda: len(other.data) == 5)
    assert echoing.data == other.data == ["0", "1", "2", "3", "4"]


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_stop_closes_all_with_1001(audience: Audience) -> None:
    subscribers = [await audience.join(f"/{number}") for number in range(3)]
    assert audience.hub.stop() == subscribers
    assert [subscriber.close_code for subscriber in subscribers] == [1001] * 3


@pytest.mark.usefixtures("in_turns")
async def test_stop_writes_nothing_more(audience: Audience) -> None:
    subscriber = await audience.join("/a")
    publish("/a", "x")
    audience.hub.stop()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert subscriber.data == []


async def test_stop_leaves_no_counts(audience: Audience) -> None:
    await audience.join("/a")
    audience.hub.stop()
    assert presence.subscriber_count("/a") == 0


async def test_stop_refuses_new_subscribers(audience: Audience) -> None:
    audience.hub.stop()
    assert audience.hub.stopping


async def test_stop_includes_subscribers_that_do_not_read(audience: Audience) -> None:
    subscriber = await audience.add("/a", StuckSubscriber(pending=5))
    audience.hub.stop()
    assert subscriber.close_code == 1001
