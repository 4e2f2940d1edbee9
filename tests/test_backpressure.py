"""A publisher in a tight loop loses nothing with subscribers that read, and one request never closes a subscriber."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from eventcast.conf import conf
from eventcast.engine import fanout, hub, incoming, subscribers
from eventcast.engine.hub import current_hub
from eventcast.engine.presence import channel_info
from eventcast.engine.publishing import apublish, publish
from eventcast.engine.sending import apublish_all
from tests.audience import Audience
from tests.fakes import FakeSubscriber, until
from tests.reading import Connections, frames_size, make_connections

connections = pytest.fixture(make_connections)

LARGE = [f"{number} ".ljust(100_000, "x") for number in range(300)]
SMALL = [str(number) for number in range(10_000)]


async def by_apublish(messages: list[str]) -> None:
    for message in messages:
        await apublish("/a", message)


async def in_a_thread(messages: list[str]) -> None:
    def speak() -> None:
        for message in messages:
            publish("/a", message)

    await asyncio.to_thread(speak)


async def on_the_loop(messages: list[str]) -> None:
    for message in messages:
        publish("/a", message)


async def on_another_loop(messages: list[str]) -> None:
    await asyncio.to_thread(asyncio.run, by_apublish(messages))


@pytest.mark.parametrize("messages", [LARGE, SMALL], ids=["300 x 100 kB", "10 000 small"])
@pytest.mark.parametrize("road", [by_apublish, in_a_thread, on_another_loop, on_the_loop])
async def test_publisher_in_a_tight_loop_loses_nothing_with_clients_that_read(
    connections: Connections,
    road: Callable[[list[str]], Awaitable[None]],
    messages: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 60)  # A client that reads may be behind for seconds.
    for _ in range(3):
        await connections.connect("/a")
    await road(messages)
    size = frames_size(*messages)
    await until(lambda: all(client.size >= size for client in connections.clients), timeout=60)
    assert channel_info("/a").figures.lost == 0
    assert [subscriber.closed for subscriber in connections.subscribers] == [False] * 3
    await connections.close()
    expected = [message.encode() for message in messages]
    assert all(client.heard() == expected for client in connections.clients)


async def test_publisher_waits_for_a_client_that_reads_slowly(connections: Connections) -> None:
    messages = LARGE[:60]
    subscriber, client = await connections.connect("/a", pause=0.002)
    await by_apublish(messages)
    await until(lambda: client.size >= frames_size(*messages), timeout=60)
    assert (subscriber.closed, subscriber.lost) == (False, 0)


@pytest.mark.parametrize("number", [8, 12, 10_000])
@pytest.mark.parametrize("many", [False, True], ids=["one subscriber", "more than are written to at once"])
async def test_request_of_the_largest_size_closes_no_subscriber_that_has_read(
    connections: Connections, number: int, many: bool
) -> None:
    messages = ["x" * (conf.MAX_BODY_SIZE // number)] * number
    for _ in range(hub.MAX_IMMEDIATE + 1 if many else 1):
        await connections.connect("/a", reads=False)
    await apublish_all("/a", messages)
    await until(lambda: not current_hub()._queue)
    assert not any(subscriber.closed for subscriber in connections.subscribers)
    for client in connections.clients:
        client.start()
    size = frames_size(*messages)
    await until(lambda: all(client.size >= size for client in connections.clients), timeout=60)
    await connections.close()
    assert [len(client.heard()) for client in connections.clients] == [number] * len(connections.clients)


async def test_client_that_never_reads_is_closed_and_holds_publishers_up_for_a_moment_only(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 0.05)
    slow, _ = await connections.connect("/a", reads=False)
    reading, client = await connections.connect("/a")
    await by_apublish(LARGE[:100])
    await until(lambda: client.size >= frames_size(*LARGE[:100]))
    assert (slow.closed, reading.closed) == (True, False)


async def test_losses_of_a_slow_client_are_the_channels(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 0.0)
    slow, _ = await connections.connect("/a", reads=False)
    await connections.connect("/a")
    await by_apublish(LARGE[:30])
    assert slow.lost > 0
    assert channel_info("/a").figures.lost == sum(subscriber.lost for subscriber in connections.subscribers)


# --- a loop that cannot move ------------------------------------------------------------------------------------------


async def test_blocked_loop_does_not_hold_a_publishing_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "MAX_WAIT", 3600.0)
    audience = Audience()
    await audience.join("/a")
    audience.hub.channels["/a"].backlog = fanout.BACKLOG_LIMIT

    def publish_often() -> None:
        for _ in range(100):  # It waits for the loop once, and not for each message.
            publish("/a", "x")

    thread = threading.Thread(target=publish_often)
    thread.start()
    # The loop waits for the thread, and the thread may not wait for the loop.
    thread.join(10)
    assert not thread.is_alive()
    audience.hub.channels["/a"].backlog = 0
    await asyncio.sleep(0)
    audience.leave_all()


@pytest.mark.parametrize("watching", [False, True])  # A page of the admin is in no count.
async def test_publisher_waits_while_too_much_waits_for_the_loop(watching: bool) -> None:
    audience, subscriber = Audience(), FakeSubscriber()
    subscriber.watching = watching
    await audience.add("/a", subscriber)
    thread = threading.Thread(target=publish, args=("/a", "x" * 1_000_000))
    thread.start()
    thread.join(10)  # The loop cannot take it meanwhile.
    assert audience.hub.is_crowded("/a")
    assert not audience.hub.is_crowded("/b")
    await asyncio.sleep(0)
    assert not audience.hub.is_crowded("/a")
    audience.leave_all()


async def test_thread_waits_while_a_channel_has_too_much_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    audience = Audience()
    await audience.join("/a")
    local = audience.hub.channels["/a"]
    local.backlog = fanout.BACKLOG_LIMIT
    monkeypatch.setattr(incoming, "STALLED", 0.4)  # the loop is idle, and not blocked
    publishing = asyncio.ensure_future(asyncio.to_thread(publish, "/a", "x"))
    await asyncio.wait({publishing}, timeout=0.8)
    waited = not publishing.done()
    local.backlog = 0
    assert await publishing == 1
    assert waited
    audience.leave_all()


async def test_thread_waits_no_longer_than_its_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "MAX_WAIT", 0.01)
    audience = Audience()
    await audience.join("/a")
    local = audience.hub.channels["/a"]
    local.backlog = fanout.BACKLOG_LIMIT // 2 + 1
    assert await asyncio.to_thread(publish, "/a", "x") == 1
    local.backlog = 0
    audience.leave_all()


async def test_apublish_waits_while_a_channel_has_too_much_to_write() -> None:
    audience = Audience()
    await audience.join("/a")
    local = audience.hub.channels["/a"]
    local.backlog = fanout.BACKLOG_LIMIT
    publishing = asyncio.ensure_future(apublish("/a", "x"))
    await asyncio.wait({publishing}, timeout=0.05)
    waited = not publishing.done()
    local.backlog = 0
    assert await publishing == 1
    assert waited
    audience.leave_all()


async def test_apublish_waits_for_no_event_loop_that_has_ended() -> None:
    loop = asyncio.new_event_loop()

    async def listen() -> Audience:
        found = Audience()
        await found.join("/a")
        found.hub.channels["/a"].backlog = fanout.BACKLOG_LIMIT
        return found

    there = await asyncio.to_thread(loop.run_until_complete, listen())
    await asyncio.wait_for(apublish("/a", "x"), 10)
    there.hub.channels["/a"].backlog = 0
    loop.close()
    there.leave_all()
