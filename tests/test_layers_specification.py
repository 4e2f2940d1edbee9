"""Channels' channel layer specification, clause by clause: channels, capacity, semantics."""

from __future__ import annotations

import asyncio
import inspect
import json
import re

import pytest
from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull, MessageTooLarge

from eventcast.layers import InMemoryChannelLayer
from tests.layer_tools import is_silent, layer_and_clock, waiting_reader


@pytest.fixture
def layer() -> InMemoryChannelLayer:
    return InMemoryChannelLayer()


# --- Channels -------------------------------------------------------------------------------------------------------


async def test_channel_is_first_in_first_out(layer: InMemoryChannelLayer) -> None:
    for number in range(100):
        await layer.send("a", {"number": number})
    assert [(await layer.receive("a"))["number"] for _ in range(100)] == list(range(100))


async def test_message_reaches_one_of_several_readers(layer: InMemoryChannelLayer) -> None:
    readers = [await waiting_reader(layer, "a") for _ in range(5)]
    for number in range(5):
        await layer.send("a", {"number": number})
    assert sorted(message["number"] for message in await asyncio.gather(*readers)) == [0, 1, 2, 3, 4]


async def test_channel_has_many_writers(layer: InMemoryChannelLayer) -> None:
    await asyncio.gather(*(layer.send("a", {"writer": writer}) for writer in range(50)))
    assert {(await layer.receive("a"))["writer"] for _ in range(50)} == set(range(50))


async def test_receive_of_full_name_takes_its_own_messages_only(layer: InMemoryChannelLayer) -> None:
    await layer.send("server!a", {"number": 1})
    await layer.send("server!b", {"number": 2})
    assert await layer.receive("server!b") == {"number": 2}
    assert await is_silent(layer, "server!b")
    assert await layer.receive("server!a") == {"number": 1}


async def test_new_channel_names_a_process_specific_channel(layer: InMemoryChannelLayer) -> None:
    names = {await layer.new_channel() for _ in range(1000)}
    assert len(names) == 1000
    for name in names:
        assert layer.require_valid_channel_name(name)
        assert name.startswith("specific.")
        assert name.count("!") == 1
    assert (await layer.new_channel("eventcast.hub")).startswith("eventcast.hub.")
    assert (await layer.new_channel(prefix="x")).startswith("x.")


async def test_message_expires_after_expiry() -> None:
    layer, clock = layer_and_clock(expiry=60)
    await layer.send("a", {"number": 1})
    clock.advance(30)
    await layer.send("a", {"number": 2})
    clock.advance(30.1)
    assert await layer.receive("a") == {"number": 2}
    await layer.send("a", {"number": 3})
    clock.advance(60.1)
    assert await is_silent(layer, "a")


async def test_message_may_have_a_megabyte(layer: InMemoryChannelLayer) -> None:
    message = {"type": "large", "text": "x" * 1024 * 1024}
    assert len(json.dumps(message)) > 1024 * 1024
    await layer.send("a", message)
    assert await layer.receive("a") == message


# --- Extensions, asynchronous support -------------------------------------------------------------------------------


async def test_extensions_are_groups_and_flush(layer: InMemoryChannelLayer) -> None:
    assert sorted(layer.extensions) == ["flush", "groups"]


@pytest.mark.parametrize(
    "name", ["send", "receive", "new_channel", "group_add", "group_discard", "group_send", "flush"]
)
def test_method_is_coroutine(layer: InMemoryChannelLayer, name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(layer, name))


def test_method_works_with_async_to_sync(layer: InMemoryChannelLayer) -> None:
    async_to_sync(layer.group_add)("group", "a")
    async_to_sync(layer.group_send)("group", {"number": 1})
    assert async_to_sync(layer.receive)("a") == {"number": 1}


# --- Capacity -------------------------------------------------------------------------------------------------------


async def test_send_raises_channel_full_at_capacity() -> None:
    layer = InMemoryChannelLayer(capacity=2)
    await layer.send("a", {"number": 1})
    await layer.send("a", {"number": 2})
    with pytest.raises(ChannelFull):
        await layer.send("a", {"number": 3})
    assert await layer.receive("a") == {"number": 1}
    await layer.send("a", {"number": 4})
    assert [await layer.receive("a") for _ in range(2)] == [{"number": 2}, {"number": 4}]


async def test_capacity_can_be_set_per_channel() -> None:
    layer = InMemoryChannelLayer(capacity=1, channel_capacity={"big.*": 2, re.compile(r"^none\d$"): 0})
    for channel, capacity in (("big.one", 2), ("small", 1)):
        for _ in range(capacity):
            await layer.send(channel, {})
        with pytest.raises(ChannelFull):
            await layer.send(channel, {})
    for _ in range(1000):
        await layer.send("none1", {})


async def test_capacity_is_not_shared_by_new_channels() -> None:
    layer = InMemoryChannelLayer(capacity=1)
    channels = [await layer.new_channel() for _ in range(10)]
    for channel in channels:
        await layer.send(channel, {"channel": channel})
    assert [(await layer.receive(channel))["channel"] for channel in channels] == channels


# --- Specification details ------------------------------------------------------------------------------------------


def test_layer_has_its_exceptions(layer: InMemoryChannelLayer) -> None:
    assert layer.ChannelFull is ChannelFull
    assert layer.MessageTooLarge is MessageTooLarge


async def test_flush_leaves_nothing() -> None:
    layer = InMemoryChannelLayer(capacity=1)
    await layer.send("a", {"number": 1})
    await layer.send("server!a", {"number": 1})
    await layer.group_add("group", "b")
    await layer.flush()
    assert not layer.channels
    assert not layer.groups
    assert await is_silent(layer, "a")
    await layer.group_send("group", {"number": 2})
    assert await is_silent(layer, "b")
    await layer.send("server!b", {"number": 3})


# --- Channel semantics ----------------------------------------------------------------------------------------------


async def test_receive_never_returns_a_message_twice(layer: InMemoryChannelLayer) -> None:
    received: list[int] = []

    async def read() -> None:
        while len(received) < 991:
            received.append((await layer.receive("a"))["number"])
            await asyncio.sleep(0)

    readers = [asyncio.create_task(read()) for _ in range(10)]
    for number in range(1000):
        await layer.send("a", {"number": number})
        if number % 7 == 0:
            await asyncio.sleep(0)
    await asyncio.wait_for(asyncio.gather(*readers), 5)
    assert sorted(received) == list(range(len(received)))


async def test_send_never_blocks_without_a_reader() -> None:
    layer = InMemoryChannelLayer(capacity=10)
    for _ in range(10):
        await asyncio.wait_for(layer.send("a", {}), 5)
    with pytest.raises(ChannelFull):
        await asyncio.wait_for(layer.send("a", {}), 5)


# --- Approximate global ordering ------------------------------------------------------------------------------------


async def test_quiet_channel_is_not_held_up_by_a_busy_one(layer: InMemoryChannelLayer) -> None:
    for number in range(1000):
        await layer.send("busy", {"number": number})
    await layer.send("quiet", {"number": 1})
    assert await asyncio.wait_for(layer.receive("quiet"), 5) == {"number": 1}
