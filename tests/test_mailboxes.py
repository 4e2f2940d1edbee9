"""Readers are woken at once, in any thread and event loop, and no message is lost on its way to a reader."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from eventcast.layers import InMemoryChannelLayer
from tests.layer_tools import layer_and_clock, remembered, run_in_thread, stop, waiting_reader

Sender = Callable[[InMemoryChannelLayer, dict[str, Any]], None]


@pytest.fixture
def layer() -> InMemoryChannelLayer:
    return InMemoryChannelLayer()


def send_here(layer: InMemoryChannelLayer, message: dict[str, Any]) -> None:
    layer.group_send_nowait("group", message)


def send_in_thread(layer: InMemoryChannelLayer, message: dict[str, Any]) -> None:
    run_in_thread(layer.group_send_nowait, "group", message)


def send_in_other_loop(layer: InMemoryChannelLayer, message: dict[str, Any]) -> None:
    run_in_thread(lambda: asyncio.run(layer.group_send("group", message)))


everywhere = pytest.mark.parametrize("send", [send_here, send_in_thread, send_in_other_loop])


@everywhere
@pytest.mark.parametrize("debug", [False, True])
def test_reader_is_woken_at_once(layer: InMemoryChannelLayer, send: Sender, debug: bool) -> None:
    # Nothing but the message can wake the event loop before the time is over.
    async def main() -> None:
        await layer.group_add("group", "a")
        for number in range(3):
            reader = await waiting_reader(layer, "a")
            send(layer, {"number": number})
            assert await asyncio.wait_for(reader, 30) == {"number": number}

    asyncio.run(main(), debug=debug)


@everywhere
async def test_message_is_left_to_others_when_its_reader_is_cancelled(
    layer: InMemoryChannelLayer, send: Sender
) -> None:
    await layer.group_add("group", "a")
    reader = await waiting_reader(layer, "a")
    send(layer, {"number": 1})
    await stop(reader)
    assert reader.cancelled()
    assert await asyncio.wait_for(layer.receive("a"), 5) == {"number": 1}


@everywhere
async def test_next_reader_is_woken_when_the_first_is_cancelled(layer: InMemoryChannelLayer, send: Sender) -> None:
    await layer.group_add("group", "a")
    first, second = [await waiting_reader(layer, "a") for _ in range(2)]
    send(layer, {"number": 1})
    await stop(first)
    assert await asyncio.wait_for(second, 5) == {"number": 1}


@everywhere
async def test_cancelled_reader_is_passed_over(layer: InMemoryChannelLayer, send: Sender) -> None:
    await layer.group_add("group", "a")
    first, second = [await waiting_reader(layer, "a") for _ in range(2)]
    first.cancel()  # and before it can run:
    send(layer, {"number": 1})
    assert await asyncio.wait_for(second, 5) == {"number": 1}
    await stop(first)


async def test_reader_waits_on_when_another_took_its_message(layer: InMemoryChannelLayer) -> None:
    reader = await waiting_reader(layer, "a")
    await layer.send("a", {"number": 1})
    assert await layer.receive("a") == {"number": 1}
    await asyncio.sleep(0)
    assert not reader.done()
    await layer.send("a", {"number": 2})
    assert await asyncio.wait_for(reader, 5) == {"number": 2}


async def test_receive_within_a_timeout_loses_nothing(layer: InMemoryChannelLayer) -> None:
    loop, received = asyncio.get_running_loop(), []
    await layer.group_add("group", "a")
    for number in range(200):
        timeout = number % 10 * 1e-5
        loop.call_later(timeout, layer.group_send_nowait, "group", {"number": number})
        try:
            received.append((await asyncio.wait_for(layer.receive("a"), timeout))["number"])
        except asyncio.TimeoutError:
            received.append((await asyncio.wait_for(layer.receive("a"), 5))["number"])
    assert received == list(range(200))


def test_reader_whose_loop_is_closed_is_passed_over(layer: InMemoryChannelLayer) -> None:
    async def main() -> None:
        await layer.group_add("group", "a")
        dead, loop = abandoned_reader(layer)
        reader = await waiting_reader(layer, "a")
        await layer.group_send("group", {"number": 1})
        assert await asyncio.wait_for(reader, 5) == {"number": 1}
        await layer.group_send("group", {"number": 2})
        assert await layer.receive("a") == {"number": 2}
        assert not dead.done()
        assert loop.is_closed()

    asyncio.run(main())


def abandoned_reader(layer: InMemoryChannelLayer) -> tuple[asyncio.Task[Any], asyncio.AbstractEventLoop]:
    """A task in receive() whose event loop is closed without telling it."""
    loop = asyncio.new_event_loop()
    tasks = []

    async def start() -> None:
        tasks.append(loop.create_task(layer.receive("a")))
        await asyncio.sleep(0)

    run_in_thread(loop.run_until_complete, start())
    loop.close()
    tasks[0]._log_destroy_pending = False  # type: ignore[attr-defined]
    return tasks[0], loop


async def test_nothing_is_left_of_a_reader_whose_loop_is_closed() -> None:
    layer, clock = layer_and_clock()
    await layer.group_add("group", "a")
    dead, _ = abandoned_reader(layer)
    await layer.group_send("group", {"number": 1})
    clock.advance(61)
    await layer.group_send("group", {"number": 2})
    assert remembered(layer) == 0
    assert not dead.done()


async def test_membership_ages_when_its_readers_loop_is_closed() -> None:
    layer, clock = layer_and_clock()
    await layer.group_add("group", "a")
    dead, _ = abandoned_reader(layer)
    for _ in range(2):
        clock.advance(86401)
        await layer.group_send("other", {})
    assert layer.groups == {}
    assert not dead.done()


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
async def test_messages_of_many_threads_arrive_in_each_senders_order(layer: InMemoryChannelLayer) -> None:
    await layer.group_add("group", "a")

    def send_many(sender: int) -> None:
        for number in range(1000):
            layer.group_send_nowait("group", {"sender": sender, "number": number})

    threads = [threading.Thread(target=send_many, args=(sender,)) for sender in range(4)]
    for thread in threads:
        thread.start()
    received: dict[int, list[int]] = {sender: [] for sender in range(4)}
    for _ in range(4000):
        message = await asyncio.wait_for(layer.receive("a"), 30)
        received[message["sender"]].append(message["number"])
    assert received == {sender: list(range(1000)) for sender in range(4)}
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("hasty_threads")
async def test_channels_come_and_go_in_many_threads(layer: InMemoryChannelLayer) -> None:
    async def converse(number: int) -> None:
        for turn in range(50):
            channel = await layer.new_channel()
            await layer.group_add(f"group{number}", channel)
            reader = asyncio.create_task(layer.receive(channel))
            await layer.group_send(f"group{number}", {"turn": turn})
            assert await asyncio.wait_for(reader, 30) == {"turn": turn}
            await layer.group_discard(f"group{number}", channel)

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(4) as executor:
        works = [loop.run_in_executor(executor, lambda n: asyncio.run(converse(n)), number) for number in range(4)]
        await asyncio.gather(*works)
    assert remembered(layer) == 0


class SlowToOpen(InMemoryChannelLayer):
    """Lets other threads run while a channel is being opened."""

    def get_capacity(self, channel: str) -> int:
        threading.Event().wait(0.01)
        return super().get_capacity(channel)


async def test_threads_that_open_a_channel_at_once_share_it() -> None:
    layer = SlowToOpen()
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda number: asyncio.run(layer.send("a", {"number": number})), range(8)))
    received = [(await asyncio.wait_for(layer.receive("a"), 5))["number"] for _ in range(8)]
    assert sorted(received) == list(range(8))
