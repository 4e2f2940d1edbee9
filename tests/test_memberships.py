from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from eventcast.engine import names
from eventcast.engine.memberships import Memberships
from eventcast.layers import InMemoryChannelLayer
from tests.fakes import FlakyLayer, layer_in_use, until
from tests.layer_tools import remembered


@pytest.fixture
def layer() -> Iterator[FlakyLayer]:
    with layer_in_use(FlakyLayer()) as layer:
        yield layer


@pytest.fixture
def accepted() -> list[dict[str, Any]]:
    return []


@pytest.fixture
async def joined(layer: FlakyLayer, accepted: list[dict[str, Any]]) -> AsyncIterator[Memberships]:
    """No channel yet; after the test, all that it joined has to be left."""
    found = Memberships(accepted.append)
    yield found
    found._stop()


def members(layer: FlakyLayer, channel: str) -> int:
    return len(layer.groups.get(names.group_name(channel), ()))


async def send(layer: FlakyLayer, channel: str, event: dict[str, Any]) -> None:
    await layer.group_send(names.group_name(channel), event)


# --- joining and leaving ----------------------------------------------------------------------------------------------


async def test_join_adds_process_to_the_group(joined: Memberships, layer: FlakyLayer) -> None:
    await joined.join("/a")
    assert members(layer, "/a") == 1


async def test_join_again_asks_the_layer_once(joined: Memberships, layer: FlakyLayer) -> None:
    for _ in range(3):
        await joined.join("/a")
    assert layer.calls.count("group_add") == 1


async def test_join_at_once_asks_the_layer_once(joined: Memberships, layer: FlakyLayer) -> None:
    await asyncio.gather(*[joined.join("/a") for _ in range(10)])
    assert layer.calls.count("group_add") == 1


async def test_join_uses_one_layer_channel_for_all(joined: Memberships, layer: FlakyLayer) -> None:
    await asyncio.gather(*[joined.join(f"/{number}") for number in range(10)])
    assert len({channel for group in layer.groups.values() for channel in group}) == 1


async def test_leave_keeps_group_that_others_need(joined: Memberships, layer: FlakyLayer) -> None:
    await joined.join("/a")
    await joined.join("/a")
    joined.leave("/a")
    assert not joined._tasks
    assert members(layer, "/a") == 1


async def test_leave_of_the_last_leaves_the_group(joined: Memberships, layer: FlakyLayer) -> None:
    await joined.join("/a")
    joined.leave("/a")
    await until(lambda: members(layer, "/a") == 0)


async def test_leave_of_the_last_leaves_no_trace(joined: Memberships, layer: FlakyLayer) -> None:
    before = asyncio.all_tasks()
    await joined.join("/a")
    joined.leave("/a")
    await until(lambda: asyncio.all_tasks() == before)
    assert joined._memberships == {}


async def test_join_after_the_last_left_hears_again(
    joined: Memberships, layer: FlakyLayer, accepted: list[dict[str, Any]]
) -> None:
    await joined.join("/a")
    joined.leave("/a")
    await until(lambda: "/a" not in joined._memberships)
    await joined.join("/a")
    await send(layer, "/a", {"number": 1})
    await until(lambda: accepted == [{"number": 1}])


async def test_join_at_once_after_the_last_left_ends_as_a_member(
    joined: Memberships, layer: FlakyLayer, accepted: list[dict[str, Any]]
) -> None:
    await joined.join("/a")
    joined.leave("/a")
    await joined.join("/a")
    await until(lambda: not joined._tasks)
    await send(layer, "/a", {"number": 1})
    await until(lambda: accepted == [{"number": 1}])


async def test_join_while_the_last_is_leaving_ends_as_a_member(joined: Memberships, layer: FlakyLayer) -> None:
    await joined.join("/a")
    layer.gate = asyncio.Event()
    joined.leave("/a")
    await until(lambda: "group_discard" in layer.calls)
    joining = asyncio.create_task(joined.join("/a"))
    await asyncio.sleep(0)
    layer.gate.set()
    await joining
    await until(lambda: not joined._tasks)
    assert members(layer, "/a") == 1


async def test_leave_while_others_join_keeps_the_group(joined: Memberships, layer: FlakyLayer) -> None:
    layer.gate = asyncio.Event()
    joining = [asyncio.create_task(joined.join("/a")) for _ in range(2)]
    await until(lambda: "group_add" in layer.calls)
    layer.gate.set()
    await joining[0]
    joined.leave("/a")
    await joining[1]
    assert members(layer, "/a") == 1


async def test_cancelled_join_leaves_no_trace(joined: Memberships, layer: FlakyLayer) -> None:
    layer.gate = asyncio.Event()
    joining = [asyncio.create_task(joined.join("/a")) for _ in range(3)]
    await until(lambda: "group_add" in layer.calls)
    for task in joining:
        task.cancel()
    await asyncio.wait(joining)
    layer.gate.set()
    await until(lambda: "/a" not in joined._memberships)


async def test_cancelled_join_keeps_the_group_for_others(joined: Memberships, layer: FlakyLayer) -> None:
    layer.gate = asyncio.Event()
    joining = [asyncio.create_task(joined.join("/a")) for _ in range(2)]
    await until(lambda: "group_add" in layer.calls)
    joining[0].cancel()
    layer.gate.set()
    await asyncio.wait(joining)
    assert members(layer, "/a") == 1


# --- the in-memory layer ----------------------------------------------------------------------------------------------


@pytest.fixture
def own_layer() -> Iterator[InMemoryChannelLayer]:
    with layer_in_use(InMemoryChannelLayer()) as layer:
        yield layer


async def test_join_of_the_own_layer_never_waits(own_layer: InMemoryChannelLayer) -> None:
    found = Memberships(lambda event: None)
    with pytest.raises(StopIteration):
        found.join("/a").send(None)
    found.leave("/a")


async def test_message_of_the_own_layer_is_accepted_in_the_same_call(own_layer: InMemoryChannelLayer) -> None:
    accepted: list[dict[str, Any]] = []
    found = Memberships(accepted.append)
    await found.join("/a")
    own_layer.group_send_nowait(names.group_name("/a"), {"number": 1})
    assert accepted == [{"number": 1}]
    found.leave("/a")


async def test_leave_of_the_own_layer_leaves_no_trace_at_once(own_layer: InMemoryChannelLayer) -> None:
    found, before = Memberships(lambda event: None), asyncio.all_tasks()
    for channel in ("/a", "/b"):
        await found.join(channel)
    for channel in ("/a", "/b"):
        found.leave(channel)
    assert remembered(own_layer) == 0
    assert (own_layer._receivers, asyncio.all_tasks()) == ({}, before)
