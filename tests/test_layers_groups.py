"""Channels' channel layer specification, clause by clause: groups, and how long memberships last."""

from __future__ import annotations

import asyncio

import pytest

from eventcast.layers import InMemoryChannelLayer
from tests.layer_tools import Clock, is_silent, layer_and_clock, remembered, waiting_reader


@pytest.fixture
def layer() -> InMemoryChannelLayer:
    return InMemoryChannelLayer()


# --- Groups ---------------------------------------------------------------------------------------------------------


async def test_group_send_reaches_members_only(layer: InMemoryChannelLayer) -> None:
    for channel in ("a", "b", "c"):
        await layer.group_add("group", channel)
    await layer.group_add("other", "d")
    await layer.group_send("group", {"number": 1})
    assert [await layer.receive(channel) for channel in ("a", "b", "c")] == [{"number": 1}] * 3
    assert await is_silent(layer, "d")


async def test_group_add_twice_makes_one_membership(layer: InMemoryChannelLayer) -> None:
    await layer.group_add("group", "a")
    await layer.group_add("group", "a")
    await layer.group_send("group", {"number": 1})
    assert await layer.receive("a") == {"number": 1}
    assert await is_silent(layer, "a")


async def test_group_discard_ends_membership(layer: InMemoryChannelLayer) -> None:
    await layer.group_add("group", "a")
    await layer.group_discard("group", "a")
    await layer.group_send("group", {"number": 1})
    assert await is_silent(layer, "a")


async def test_group_discard_ignores_channel_that_is_no_member(layer: InMemoryChannelLayer) -> None:
    await layer.group_discard("group", "a")
    await layer.group_add("group", "b")
    await layer.group_discard("group", "a")
    await layer.group_send("group", {"number": 1})
    assert await layer.receive("b") == {"number": 1}


async def test_group_send_without_members_does_nothing(layer: InMemoryChannelLayer) -> None:
    await layer.group_send("group", {"number": 1})
    assert layer.statistics().sent == 0


async def test_group_send_drops_over_capacity_and_never_raises() -> None:
    layer = InMemoryChannelLayer(capacity=2)
    await layer.group_add("group", "slow")
    await layer.group_add("group", "quick")
    for number in range(5):
        await layer.group_send("group", {"number": number})
        assert await layer.receive("quick") == {"number": number}
    assert [await layer.receive("slow") for _ in range(2)] == [{"number": 0}, {"number": 1}]
    assert await is_silent(layer, "slow")


# --- Persistence ----------------------------------------------------------------------------------------------------


async def test_membership_stays_until_a_message_expires() -> None:
    layer, clock = layer_and_clock(expiry=60)
    await layer.group_add("group", "a")
    for _ in range(10):
        clock.advance(3600)
        await layer.group_send("group", {"number": 1})
        assert await layer.receive("a") == {"number": 1}


async def test_membership_ends_when_a_message_expires_on_an_unread_channel() -> None:
    layer, clock = layer_and_clock(expiry=60)
    await layer.group_add("group", "a")
    await layer.group_send("group", {"number": 1})
    clock.advance(60.1)
    await layer.group_send("group", {"number": 2})
    assert layer.groups == {}
    assert await is_silent(layer, "a")


async def test_membership_ends_group_expiry_after_the_last_group_add() -> None:
    layer, clock = layer_and_clock(group_expiry=100)
    await layer.group_add("group", "a")
    clock.advance(99)
    await layer.group_add("group", "a")
    clock.advance(99)
    await layer.group_send("other", {})
    assert layer.groups
    clock.advance(2)
    await layer.group_send("group", {})
    assert layer.groups == {}
    assert layer.statistics().sent == 0


# --- Memberships of channels that are read -------------------------------------------------------------------------


async def test_membership_never_ends_while_a_reader_waits() -> None:
    layer, clock = layer_and_clock(group_expiry=100)
    await layer.group_add("group", "a")
    reader = await waiting_reader(layer, "a")
    for _ in range(10):
        clock.advance(101)
        await layer.group_send("other", {})
    clock.advance(60)
    layer.group_send_nowait("group", {"number": 1})
    clock.advance(50)
    layer.group_send_nowait("other", {})  # the reader has been woken and has not yet run
    assert layer.groups
    assert await asyncio.wait_for(reader, 5) == {"number": 1}


async def test_membership_never_ends_while_messages_are_read() -> None:
    layer, clock = layer_and_clock(expiry=200, group_expiry=100)
    await layer.group_add("group", "a")
    for number in range(10):
        await layer.group_send("group", {"number": number})
        clock.advance(60)
        assert await asyncio.wait_for(layer.receive("a"), 5) == {"number": number}
        clock.advance(60)


async def test_membership_ends_group_expiry_after_the_last_reader() -> None:
    layer, clock = layer_and_clock(group_expiry=100)
    await layer.group_add("group", "a")
    clock.advance(90)
    assert await is_silent(layer, "a")
    clock.advance(20)
    await layer.group_send("other", {})
    assert layer.groups
    clock.advance(101)
    await layer.group_send("group", {})
    assert layer.groups == {}


@pytest.fixture
def slow() -> tuple[InMemoryChannelLayer, Clock]:
    return layer_and_clock(expiry=60)


async def test_membership_survives_expired_message_if_its_reader_is_slow(
    slow: tuple[InMemoryChannelLayer, Clock],
) -> None:
    layer, clock = slow
    await layer.group_add("group", "a")
    await layer.group_send("group", {"number": 1})
    go_on, received = asyncio.Event(), asyncio.Event()

    async def read() -> None:
        await layer.receive("a")
        received.set()
        await go_on.wait()  # as a handler does that waits for a database
        assert await layer.receive("a") == {"number": 3}

    reader = asyncio.create_task(read())
    await received.wait()
    await layer.group_send("group", {"number": 2})
    clock.advance(61)
    await layer.group_send("group", {"number": 3})
    go_on.set()
    await asyncio.wait_for(reader, 5)
    assert layer.statistics().expired == 1


async def test_membership_survives_expired_message_if_it_was_on_its_way(
    slow: tuple[InMemoryChannelLayer, Clock],
) -> None:
    layer, clock = slow
    await layer.group_add("group", "a")
    reader = await waiting_reader(layer, "a")
    layer.group_send_nowait("group", {"number": 1})
    clock.advance(61)  # the event loop is stuck for a minute, or the machine asleep
    layer.group_send_nowait("group", {"number": 2})
    assert await asyncio.wait_for(reader, 5) == {"number": 2}
    assert layer.groups


async def test_membership_ends_with_expired_message_if_its_reader_is_gone(
    slow: tuple[InMemoryChannelLayer, Clock],
) -> None:
    layer, clock = slow
    for group in ("one", "two", "three"):
        await layer.group_add(group, "a")
        await layer.group_add(group, "b")
    await layer.send("a", {"number": 1})
    assert await asyncio.create_task(layer.receive("a")) == {"number": 1}
    await layer.send("a", {"number": 2})
    clock.advance(61)
    await layer.group_send("one", {"number": 3})
    assert [list(members) for members in layer.groups.values()] == [["b"], ["b"], ["b"]]


# --- Receivers ------------------------------------------------------------------------------------------------------


def test_receiver_is_called_in_the_senders_call(layer: InMemoryChannelLayer) -> None:
    received: list[dict[str, int]] = []
    layer.receive_with("a", received.append)
    layer.group_add_nowait("group", "a")
    layer.group_send_nowait("group", {"number": 1})
    assert received == [{"number": 1}]


async def test_receiver_leaves_other_members_their_messages(layer: InMemoryChannelLayer) -> None:
    received: list[dict[str, int]] = []
    layer.receive_with("a", received.append)
    for channel in ("a", "b"):
        layer.group_add_nowait("group", channel)
    await layer.group_send("group", {"number": 1})
    assert (received, await layer.receive("b")) == ([{"number": 1}], {"number": 1})


def test_receiver_has_no_capacity(layer: InMemoryChannelLayer) -> None:
    received: list[dict[str, int]] = []
    layer.receive_with("a", received.append)
    layer.group_add_nowait("group", "a")
    for number in range(layer.capacity + 1):
        layer.group_send_nowait("group", {"number": number})
    assert (len(received), layer.statistics().dropped) == (layer.capacity + 1, 0)


def test_receiver_may_send_to_its_own_group(layer: InMemoryChannelLayer) -> None:
    received: list[dict[str, int]] = []

    def receive(message: dict[str, int]) -> None:
        received.append(message)
        if message["number"] < 3:
            layer.group_send_nowait("group", {"number": message["number"] + 1})

    layer.receive_with("a", receive)
    layer.group_add_nowait("group", "a")
    layer.group_send_nowait("group", {"number": 1})
    assert [message["number"] for message in received] == [1, 2, 3]


def test_membership_of_a_receiver_does_not_age() -> None:
    layer, clock = layer_and_clock(group_expiry=10)
    received: list[dict[str, int]] = []
    layer.receive_with("a", received.append)
    layer.group_add_nowait("group", "a")
    for _ in range(3):
        clock.advance(9)
        layer.group_send_nowait("other", {"number": 0})
    layer.group_send_nowait("group", {"number": 1})
    assert received == [{"number": 1}]


def test_receiver_that_is_taken_away_hears_no_more(layer: InMemoryChannelLayer) -> None:
    received: list[dict[str, int]] = []
    layer.receive_with("a", received.append)
    layer.group_add_nowait("group", "a")
    layer.receive_with("a", None)
    layer.group_discard_nowait("group", "a")
    layer.group_send_nowait("group", {"number": 1})
    assert (received, remembered(layer)) == ([], 0)


@pytest.mark.parametrize("method", ["group_add_nowait", "group_discard_nowait"])
@pytest.mark.parametrize("names", [("not valid", "a"), ("group", "not valid")])
def test_nowait_refuses_invalid_names(layer: InMemoryChannelLayer, method: str, names: tuple[str, str]) -> None:
    with pytest.raises(TypeError):
        getattr(layer, method)(*names)
