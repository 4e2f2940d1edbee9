"""One hub for each event loop, and what publishers in other threads and on other loops get."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator

import pytest

from eventcast.engine import hub, incoming, patterns, presence
from eventcast.engine.figures import Figures
from eventcast.engine.hub import Hub, current_hub, hubs
from eventcast.engine.messages import to_layer
from eventcast.engine.publishing import apublish, publish
from eventcast.engine.quotas import quotas
from eventcast.layers import InMemoryChannelLayer, get_layer
from tests.audience import Audience
from tests.fakes import FakeSubscriber, close_loop, until


@pytest.fixture
async def audience() -> AsyncIterator[Audience]:
    found = Audience()
    yield found
    found.leave_all()


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
    there, ready, done = FakeSubscriber(), threading.Event(), threading.Event()

    async def listen() -> None:
        other = Audience()
        await other.add("/a", there)
        ready.set()
        await until(lambda: there.data)
        await asyncio.to_thread(done.wait, 10)
        other.leave_all()

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


def test_publish_between_two_turns_of_a_loop_is_heard_in_the_next() -> None:
    # Both happen in one thread, as with async_to_sync() in a command.
    loop = asyncio.new_event_loop()

    async def listen() -> Audience:
        found = Audience()
        await found.join("/a")
        return found

    there = loop.run_until_complete(listen())
    subscriber = there.present[0]
    assert isinstance(subscriber, FakeSubscriber)
    assert publish("/a", "x") == 1
    asyncio.run(apublish("/a", "y"))
    loop.run_until_complete(until(lambda: subscriber.data == ["x", "y"]))
    loop.call_soon(there.leave_all)
    loop.run_until_complete(asyncio.sleep(0))
    close_loop(loop)


async def test_what_a_thread_has_published_goes_before_what_the_loop_publishes_next(audience: Audience) -> None:
    subscriber = await audience.join("/a")
    thread = threading.Thread(target=publish, args=("/a", "1"))
    thread.start()
    thread.join()  # the loop is blocked meanwhile
    publish("/a", "2")
    await until(lambda: subscriber.data == ["1", "2"])


async def test_publish_to_a_loop_that_is_closed_reaches_the_others(audience: Audience) -> None:
    loop = asyncio.new_event_loop()

    async def listen() -> Audience:
        found = Audience()
        await found.join("/a")
        return found

    there = await asyncio.to_thread(loop.run_until_complete, listen())
    loop.close()  # with a subscriber, as a server that was killed inside
    here = await audience.join("/a")
    publish("/a", "x")
    await until(lambda: here.data == ["x"])
    there.leave_all()


async def test_finalizer_may_publish_while_hubs_are_counted(audience: Audience) -> None:
    # The garbage collector runs finalizers anywhere; one may log, and a log handler may publish.
    subscriber = await audience.join("/a")

    class Logged:
        def __del__(self) -> None:
            publish("/a", "x")

    def make_hub() -> None:
        async def count() -> None:
            with hub._hubs_lock:
                Logged()
                current_hub()

        asyncio.run(count())

    await asyncio.wait_for(asyncio.to_thread(make_hub), 10)
    await until(lambda: subscriber.data == ["x"])


async def test_more_than_a_blocked_loop_may_owe_is_lost_and_counted(
    audience: Audience, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(incoming, "LIMIT", 10)
    subscriber = await audience.join("/a")

    def speak() -> None:
        for _ in range(4):
            audience.hub.receive(to_layer("/a", ["12345"]))

    thread = threading.Thread(target=speak)
    thread.start()
    thread.join()  # the loop is blocked meanwhile
    await until(lambda: audience.hub.channels["/a"].lost == 2)
    await until(lambda: subscriber.data == ["12345"] * 2)
    assert "'/a': 1 messages are lost, because the event loop is blocked." in caplog.text


async def test_nothing_but_figures_is_left_of_an_event_loop_that_ends_before_its_subscribers() -> None:
    found = []

    async def listen() -> None:
        found.append(weakref.ref(current_hub()))
        for name in ("/a", "/<x>"):
            await current_hub().subscribe(patterns.parse(name) if "<" in name else name, FakeSubscriber())
        await apublish("/a", "x")

    before, places = presence.totals().figures, quotas.subscribers
    await asyncio.to_thread(asyncio.run, listen())
    gc.collect()
    assert found[0]() is None
    assert quotas.subscribers == places
    assert presence.totals().figures == before + Figures(messages=2, delivered=2)
    assert presence.subscriber_count("/a") == 0
    layer = get_layer()
    assert isinstance(layer, InMemoryChannelLayer)
    assert (layer.groups, layer.channels, layer._receivers) == ({}, {}, {})
