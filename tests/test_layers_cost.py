"""The in-memory layer's calls cost the same for any number of open channels, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer as StockInMemoryChannelLayer

from eventcast.layers import InMemoryChannelLayer
from tests.layer_tools import Clock, layer_and_clock, remembered, stop, waiting_reader


def lines_run(function: Callable[[], object]) -> int:
    """How many lines of Python a call runs, each turn of a loop counted: the same on every machine."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event in ("call", "line")
        return trace

    before = sys.gettrace()
    gc.collect()
    # The collector runs finalizers and callbacks of other code: lines that are not the call's.
    gc.disable()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


async def publish_and_receive(layer: StockInMemoryChannelLayer) -> int:
    """Lines run for one message through a group of one member."""

    def step() -> None:
        for coroutine in (layer.group_send("group", {"number": 1}), layer.receive("a")):
            with pytest.raises(StopIteration):
                coroutine.send(None)

    await layer.group_add("group", "a")
    step()
    return lines_run(step)


async def open_channels(layer: StockInMemoryChannelLayer, number: int) -> list[asyncio.Task[Any]]:
    """Channels with a waiting reader, one with an unread message, and a group each."""
    readers = []
    for index in range(number):
        await layer.group_add(f"others.{index}", f"reading.{index}")
        await layer.group_add(f"others.{index}", f"unread.{index}")
        await layer.group_add("all", f"reading.{index}")
        await layer.send(f"unread.{index}", {})
        readers.append(asyncio.create_task(layer.receive(f"reading.{index}")))
    await asyncio.sleep(0)
    return readers


async def test_group_send_and_receive_cost_the_same_with_many_channels_open() -> None:
    alone = await publish_and_receive(InMemoryChannelLayer())
    layer = InMemoryChannelLayer()
    readers = await open_channels(layer, 10_000)
    assert await publish_and_receive(layer) == alone
    await stop(*readers)


async def test_cost_is_still_the_same_after_much_has_expired() -> None:
    layer, clock = layer_and_clock()
    alone = await publish_and_receive(layer)
    for index in range(10_000):
        await layer.send(f"unread.{index}", {})
    clock.advance(61)
    layer.group_send_nowait("group", {})
    await layer.receive("a")
    assert await publish_and_receive(layer) == alone


async def test_membership_of_many_groups_costs_nothing_when_publishing() -> None:
    layer = InMemoryChannelLayer()
    alone = await publish_and_receive(layer)
    for index in range(10_000):
        await layer.group_add(f"others.{index}", "a")
    assert await publish_and_receive(layer) == alone


async def test_group_discard_costs_the_same_with_many_channels_open() -> None:
    def step(layer: InMemoryChannelLayer) -> int:
        def leave_and_come() -> None:
            for coroutine in (layer.group_discard("group", "a"), layer.group_add("group", "a")):
                with pytest.raises(StopIteration):
                    coroutine.send(None)

        leave_and_come()
        return lines_run(leave_and_come)

    alone = step(InMemoryChannelLayer())
    layer = InMemoryChannelLayer()
    readers = await open_channels(layer, 1000)
    assert step(layer) == alone
    await stop(*readers)


async def test_nothing_is_left_of_channels_that_were_used() -> None:
    layer = InMemoryChannelLayer()
    for index in range(10_000):
        channel = await layer.new_channel()
        await layer.group_add(f"group.{index}", channel)
        await layer.group_send(f"group.{index}", {})
        await layer.receive(channel)
        await layer.group_discard(f"group.{index}", channel)
    assert remembered(layer) == 0


async def test_nothing_is_left_of_unread_channels() -> None:
    layer, clock = layer_and_clock()
    for index in range(1000):
        await layer.group_add(f"group.{index}", f"a!{index}")
        await layer.group_send(f"group.{index}", {})
        await layer.send(f"b.{index}", {})
    assert remembered(layer)
    clock.advance(61)
    await layer.group_send("group", {})
    assert remembered(layer) == 0


async def test_nothing_is_left_of_memberships_that_age() -> None:
    layer, clock = layer_and_clock()
    for index in range(1000):
        await layer.group_add(f"group.{index}", f"a.{index}")
    clock.advance(86401)
    await layer.group_send("group", {})
    assert remembered(layer) == 0


async def test_nothing_is_left_of_cancelled_readers() -> None:
    layer = InMemoryChannelLayer()
    for channel in ("a", "server!", "server!b"):
        readers = [await waiting_reader(layer, channel) for _ in range(3)]
        await stop(*readers)
    assert remembered(layer) == 0


async def test_nothing_is_left_of_refused_messages() -> None:
    layer = InMemoryChannelLayer(capacity=1)
    await layer.send("a", {})
    for _ in range(100):
        with pytest.raises(layer.ChannelFull):
            await layer.send("a", {})
    assert layer.statistics().channels == 1


async def test_send_leaves_expired_messages_to_receive() -> None:
    layer, clock = layer_and_clock(expiry=60)
    await layer.send("a", {})
    clock.advance(61)
    await layer.send("b", {})
    assert len(layer.channels) == 2  # as Channels' own tests want it
    await layer.receive("b")
    assert layer.channels == {}


async def half_read(**config: Any) -> tuple[InMemoryChannelLayer, Clock]:
    """A layer with expired messages in channel "a" that no cleaning found, because the channel was read meanwhile."""
    layer, clock = layer_and_clock(expiry=60, **config)
    await layer.group_send("group", {})
    await layer.send("a", {"number": 1})
    clock.advance(30)
    await layer.send("a", {"number": 2})
    await layer.receive("a")
    await layer.send("a", {"number": 3})
    clock.advance(31)
    await layer.group_send("group", {})
    clock.advance(30)
    await layer.group_send("group", {})
    assert layer.channels
    return layer, clock


async def test_channel_without_reader_is_removed_in_the_end() -> None:
    layer, clock = await half_read()
    clock.advance(60)
    await layer.group_send("group", {})
    assert remembered(layer) == 0


async def test_channel_full_of_expired_messages_has_room() -> None:
    layer, _ = await half_read(capacity=2)
    await layer.send("a", {"number": 4})
    assert await asyncio.wait_for(layer.receive("a"), 5) == {"number": 4}


async def test_reader_of_expired_messages_waits_for_the_next() -> None:
    layer, _ = await half_read()
    reader = await waiting_reader(layer, "a")
    await layer.send("a", {"number": 4})
    assert await asyncio.wait_for(reader, 5) == {"number": 4}
