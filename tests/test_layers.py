"""Features of the in-memory layer that Channels' own lacks, and the choice of the layer that eventcast uses."""

from __future__ import annotations

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import channels.layers
import pytest
from channels.exceptions import ChannelFull
from channels.layers import channel_layers, get_channel_layer
from django.test import override_settings

from eventcast.layers import InMemoryChannelLayer, get_layer, is_local
from tests.layer_tools import run_in_thread, stop, waiting_reader

OURS = {"BACKEND": "eventcast.layers.InMemoryChannelLayer"}
STOCK = {"BACKEND": "channels.layers.InMemoryChannelLayer"}


@pytest.fixture
def layer() -> InMemoryChannelLayer:
    return InMemoryChannelLayer()


# --- Construction ---------------------------------------------------------------------------------------------------


def test_layer_takes_the_stock_layers_arguments() -> None:
    layer = InMemoryChannelLayer(expiry=1, group_expiry=2, capacity=3, channel_capacity={"a": 4})
    assert isinstance(layer, channels.layers.InMemoryChannelLayer)
    assert (layer.expiry, layer.group_expiry, layer.capacity) == (1, 2, 3)
    default = InMemoryChannelLayer()
    assert (default.expiry, default.group_expiry) == (60, 86400)  # the specification's
    assert [layer.get_capacity(channel) for channel in ("a", "b")] == [4, 3]
    with pytest.raises(TypeError):
        InMemoryChannelLayer(unknown=1)


def test_channel_capacity_takes_the_first_match() -> None:
    layer = InMemoryChannelLayer(channel_capacity={"a.b.*": 1, re.compile(r"a\..*"): 2, "*": 3})
    assert [layer.get_capacity(channel) for channel in ("a.b.c", "a.c", "b")] == [1, 2, 3]


async def test_default_capacity_takes_a_burst_of_one_turn(layer: InMemoryChannelLayer) -> None:
    await layer.group_add("group", "a")
    for number in range(10_000):
        layer.group_send_nowait("group", {"number": number})
    assert layer.statistics().dropped == 0


# --- Copies ---------------------------------------------------------------------------------------------------------


async def test_message_does_not_change_with_the_senders(layer: InMemoryChannelLayer) -> None:
    await layer.group_add("group", "a")
    message = {"number": 1}
    await layer.send("a", message)
    await layer.group_send("group", message)
    message["number"] = 2
    assert [await layer.receive("a") for _ in range(2)] == [{"number": 1}] * 2


async def test_receiver_may_change_its_message(layer: InMemoryChannelLayer) -> None:
    for channel in ("a", "b"):
        await layer.group_add("group", channel)
    await layer.group_send("group", {"type": "x", "number": 1})
    (await layer.receive("a")).pop("type")
    assert await layer.receive("b") == {"type": "x", "number": 1}


async def test_contents_are_not_copied(layer: InMemoryChannelLayer) -> None:
    for channel in ("a", "b"):
        await layer.group_add("group", channel)
    contents = [b"x" * 1000]
    await layer.group_send("group", {"contents": contents})
    assert all([(await layer.receive(channel))["contents"] is contents for channel in ("a", "b")])


# --- Senders give way to readers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [1, 2, 3, 100])
async def test_sender_in_a_loop_does_not_starve_a_reader(capacity: int) -> None:
    layer = InMemoryChannelLayer(capacity=capacity)
    await layer.group_add("group", "a")
    received: list[int] = []

    async def read() -> None:
        while True:
            received.append((await layer.receive("a"))["number"])

    reader = asyncio.create_task(read())
    for number in range(0, 1000, 2):
        await layer.group_send("group", {"number": number})
        await layer.send("a", {"number": number + 1})
    await asyncio.sleep(0)
    assert received == list(range(1000))
    assert layer.statistics().dropped == 0
    await stop(reader)


async def test_sender_that_tries_again_does_not_starve_a_reader() -> None:
    layer = InMemoryChannelLayer(capacity=1)
    await layer.send("a", {})

    async def read_later() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        await layer.receive("a")

    reader = asyncio.create_task(read_later())
    for _ in range(100):
        try:
            await layer.send("a", {})
        except ChannelFull:
            continue
        break
    else:
        pytest.fail("the reader never got its turn")
    await reader


# --- group_send_nowait, flush, close ----------------------------------------------------------------------------------


async def test_group_send_nowait_reaches_every_member(layer: InMemoryChannelLayer) -> None:
    for channel in ("a", "b"):
        await layer.group_add("group", channel)
    layer.group_send_nowait("group", {"number": 1})
    assert [await layer.receive(channel) for channel in ("a", "b")] == [{"number": 1}] * 2


async def test_group_send_nowait_needs_no_event_loop(layer: InMemoryChannelLayer) -> None:
    await layer.group_add("group", "a")
    run_in_thread(layer.group_send_nowait, "group", {"number": 1})
    assert await layer.receive("a") == {"number": 1}


@pytest.mark.parametrize("method", ["flush", "close"])
async def test_waiting_reader_hears_on(layer: InMemoryChannelLayer, method: str) -> None:
    readers = [await waiting_reader(layer, "a"), await waiting_reader(layer, "server!b")]
    await getattr(layer, method)()
    await layer.group_add("group", "a")
    await layer.group_add("group", "server!b")
    await layer.group_send("group", {"number": 1})
    assert await asyncio.wait_for(asyncio.gather(*readers), 5) == [{"number": 1}] * 2
    await layer.send("a", {"number": 2})
    assert await layer.receive("a") == {"number": 2}


async def test_flush_takes_message_from_a_reader_on_its_way(layer: InMemoryChannelLayer) -> None:
    reader = await waiting_reader(layer, "a")
    await layer.send("a", {"number": 1})
    await layer.flush()
    await asyncio.sleep(0)
    await layer.send("a", {"number": 2})
    assert await asyncio.wait_for(reader, 5) == {"number": 2}


async def test_second_reader_hears_on_when_the_first_has_emptied_the_channel(layer: InMemoryChannelLayer) -> None:
    first, second = [await waiting_reader(layer, "a") for _ in range(2)]
    await layer.send("a", {"number": 1})
    assert await asyncio.wait_for(first, 5) == {"number": 1}
    await layer.send("a", {"number": 2})
    assert await asyncio.wait_for(second, 5) == {"number": 2}


async def test_channels_and_groups_can_be_looked_at(layer: InMemoryChannelLayer) -> None:
    await layer.group_add("group", "a")
    assert list(layer.groups["group"]) == ["a"]
    assert layer.channels["a"].empty()
    await layer.group_send("group", {})
    assert not layer.channels["a"].empty()
    await layer.receive("a")
    await layer.group_discard("group", "a")
    assert "a" not in layer.channels
    reader = await waiting_reader(layer, "server!b")
    assert list(layer.channels) == ["server!b"]  # as tests find the name of a consumer's channel
    await stop(reader)
    assert layer.channels == {}


# --- Which layer is used --------------------------------------------------------------------------------------------


@override_settings(CHANNEL_LAYERS={"eventcast": OURS, "default": STOCK})
def test_get_layer_prefers_the_alias_eventcast() -> None:
    assert get_layer() is get_channel_layer("eventcast")
    assert isinstance(get_layer(), InMemoryChannelLayer)


@override_settings(CHANNEL_LAYERS={"default": STOCK})
def test_get_layer_takes_the_sites_default() -> None:
    assert get_layer() is get_channel_layer()


@override_settings(CHANNEL_LAYERS={})
def test_get_layer_has_one_of_its_own_that_channels_does_not_know() -> None:
    with ThreadPoolExecutor(8) as executor:
        layers = list(executor.map(lambda _: get_layer(), range(100)))
    assert len(set(layers)) == 1
    assert isinstance(layers[0], InMemoryChannelLayer)
    assert get_channel_layer() is None
    assert channel_layers.backends == {}


@override_settings(CHANNEL_LAYERS={"default": {"BACKEND": "tests.test_layers.SlowToMake"}})
def test_get_layer_makes_one_layer_for_all_threads() -> None:
    with ThreadPoolExecutor(8) as executor:
        assert len(set(executor.map(lambda _: get_layer(), range(8)))) == 1


class SlowToMake(InMemoryChannelLayer):
    """Lets other threads run while it is being made."""

    def __init__(self) -> None:
        super().__init__()
        threading.Event().wait(0.01)


@pytest.mark.parametrize(
    ("backend", "local"),
    [(OURS, True), (STOCK, True), ({"BACKEND": "channels.layers.BaseChannelLayer"}, False)],
)
def test_is_local_knows_the_layers_that_reach_one_process(backend: dict[str, str], local: bool) -> None:
    with override_settings(CHANNEL_LAYERS={"default": backend}):
        assert is_local() is local
