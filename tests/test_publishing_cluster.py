"""The engine on a channel layer of several processes; the others are bare layers on the same bus."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from eventcast.engine import messages, names, presence, sending
from eventcast.engine.closing import GOING_AWAY
from eventcast.engine.hub import current_hub
from eventcast.engine.patterns import parse
from eventcast.engine.publishing import apublish, publish
from eventcast.exceptions import LayerUnavailable
from eventcast.layers.cluster import ClusterLayer
from eventcast.layers.counting import Reach
from tests.doors import TIMEOUT, Daphne, enter, open_door
from tests.fakes import FakeSubscriber, layer_in_use, until
from tests.shared_bus import Switch

pytestmark = pytest.mark.usefixtures("own_hubs")


@pytest.fixture
def switch() -> Switch:
    return Switch(returns=True)


@pytest.fixture
async def layer(switch: Switch) -> AsyncIterator[ClusterLayer]:
    """The layer of this process."""
    with layer_in_use(switch.layer()) as layer:
        await layer.start()
        yield layer
        for subscriber in current_hub().subscribers():
            current_hub().unsubscribe(subscriber)
        await layer.close()


@pytest.fixture
async def other(switch: Switch, layer: ClusterLayer) -> AsyncIterator[ClusterLayer]:
    """The layer of another process, with 10 subscribers to /a and 100 to patterns."""
    other = switch.layer()
    name = await other.new_channel()
    for group in (names.group_name("/a"), sending.EVERYWHERE):
        await other.group_add(group, name)
    other.count_with = lambda event: 100 if event["type"] == messages.PATTERNS_TYPE else 10
    yield other
    await other.close()


async def subscribe(wanted: Any = "/a") -> FakeSubscriber:
    subscriber = FakeSubscriber()
    await current_hub().subscribe(wanted, subscriber)
    return subscriber


async def test_publish_reaches_the_process_itself_and_others(layer: ClusterLayer, other: ClusterLayer) -> None:
    subscriber = await subscribe()
    assert await sending.asend(messages.to_layer("/a", ["x"])) == Reach(111)
    assert subscriber.data == ["x"]
    assert await apublish("/a", b"y") == 111
    assert [(await other.receive(next(iter(other.local.channels))))["messages"] for _ in range(4)] == [
        ["x"],
        ["x"],
        [b"y"],
        [b"y"],
    ]


async def test_publish_in_a_thread_counts_all_processes_and_on_an_event_loop_its_own(
    layer: ClusterLayer, other: ClusterLayer
) -> None:
    await subscribe()
    assert await asyncio.to_thread(publish, "/a", "x") == 111
    assert publish("/a", "x") == 1


async def test_publish_in_a_thread_waits_for_no_process_that_does_not_answer(
    layer: ClusterLayer, other: ClusterLayer, switch: Switch
) -> None:
    await subscribe()
    switch.buses[1].deaf = True
    assert await asyncio.to_thread(publish, "/a", "x") == 1


async def test_subscriber_hears_other_processes_in_order_without_a_task(
    layer: ClusterLayer, other: ClusterLayer
) -> None:
    tasks = asyncio.all_tasks()
    subscriber, by_pattern = await subscribe(), await subscribe(parse("/<path:any>"))
    assert asyncio.all_tasks() == tasks
    for number in range(10):
        event = messages.to_layer("/a", [str(number)])
        await other.broadcast(
            [(names.group_name("/a"), event), (sending.EVERYWHERE, messages.for_patterns(event))], count=True
        )
    await until(lambda: len(by_pattern.data) == 10)
    assert subscriber.data == [str(number) for number in range(10)]


async def test_subscribers_are_counted_once_for_other_processes(layer: ClusterLayer, other: ClusterLayer) -> None:
    for wanted in ("/a", "/a", "/b", parse("/<path:any>"), parse("/a<path:any>"), parse("/c<path:any>")):
        await subscribe(wanted)
    event = messages.to_layer("/a", ["x"])
    sends = [(names.group_name("/a"), event), (sending.EVERYWHERE, messages.for_patterns(event))]
    assert (await other.broadcast(sends, count=True)).subscribers == presence.subscriber_count("/a") == 3


async def test_layer_is_told_of_each_change_of_the_number_of_subscribers(
    layer: ClusterLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed: list[str] = []
    monkeypatch.setattr(layer, "count_changed", changed.append)

    def changes() -> list[str]:
        found, changed[:] = list(changed), []
        return found

    subscriber = await subscribe()
    assert changes() == [names.group_name("/a")]
    subscriber.close(GOING_AWAY)  # It counts no more, though its connection lasts until the client has answered.
    assert changes() == [names.group_name("/a")]
    current_hub().unsubscribe(subscriber)
    by_pattern = await subscribe(parse("/<x>"))
    current_hub().unsubscribe(by_pattern)
    assert changes() == [sending.EVERYWHERE] * 2

    async def listen() -> None:
        await subscribe()

    await asyncio.to_thread(asyncio.run, listen())  # An event loop that ends with a subscriber.
    gc.collect()
    assert changes() == [names.group_name("/a")] * 2


async def test_process_leaves_the_group_with_its_last_subscriber(switch: Switch, layer: ClusterLayer) -> None:
    topic = "group." + names.group_name("/a")
    first, second = await subscribe(), await subscribe()
    current_hub().unsubscribe(first)
    assert topic in switch.buses[0].topics
    current_hub().unsubscribe(second)
    await until(lambda: topic not in switch.buses[0].topics)


async def test_publish_while_the_bus_does_not_work_is_degraded(switch: Switch, layer: ClusterLayer) -> None:
    subscriber = await subscribe()
    switch.buses[0].up = False
    newcomer = await subscribe()
    assert await sending.asend(messages.to_layer("/a", ["x"])) == Reach(2, degraded=True)
    assert subscriber.data == newcomer.data == ["x"]


async def test_door_answers_once_other_processes_have_and_keeps_the_connection(
    switch: Switch, layer: ClusterLayer, other: ClusterLayer
) -> None:
    request = b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx"
    loop, answers = asyncio.get_running_loop(), b""
    with open_door(Daphne()) as door:
        client = enter(door)
        for number, (refusal, expected) in enumerate(
            [(None, b"201 Created"), (LayerUnavailable("full; nothing was sent"), b"503 "), (None, b"201 Created")]
        ):
            switch.refusal = refusal
            await loop.sock_sendall(client, request * 2)  # the second one waits for the answer to the first
            while answers.count(b"HTTP/1.1 " + expected) < (4 if number == 2 else 2):
                answers += await asyncio.wait_for(loop.sock_recv(client, 65536), TIMEOUT)
        client.close()
    assert answers.count(b'"subscribers": 110') == 4
    assert answers.count(b"nothing was sent") == 2


async def test_refused_publish_is_raised_and_logged(
    switch: Switch, layer: ClusterLayer, caplog: pytest.LogCaptureFixture
) -> None:
    subscriber = await subscribe()
    switch.refusal = LayerUnavailable("full; nothing was sent")
    with pytest.raises(LayerUnavailable, match="nothing was sent"):
        await apublish("/a", "x")
    with pytest.raises(LayerUnavailable, match="nothing was sent"):
        await asyncio.to_thread(publish, "/a", "x")
    assert subscriber.data == []
    assert caplog.text.count("Publishing to '/a' failed") == 2


async def test_publish_in_threads_and_on_the_event_loop_keeps_the_order(
    layer: ClusterLayer, other: ClusterLayer
) -> None:
    subscriber = await subscribe()
    await asyncio.to_thread(lambda: [publish("/a", str(number)) for number in range(10)])
    for number in range(10, 20):
        publish("/a", str(number))
    await until(lambda: len(subscriber.data) == 20)
    assert subscriber.data == [str(number) for number in range(20)]


def test_process_without_an_event_loop_publishes_at_once(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    with layer_in_use(switch.layer()) as layer:
        monkeypatch.setattr(layer.bus, "publish_now", lambda sends: [sent.append(topic) or 1 for topic, _ in sends])
        assert publish("/a", "x") == 0
        assert asyncio.run(apublish("/a", "x")) == 0  # type: ignore[arg-type]
    assert sent == ["group." + group for group in (names.group_name("/a"), sending.EVERYWHERE)] * 2
