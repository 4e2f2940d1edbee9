"""A layer that fails, forgets memberships, or sends on what this process does not want any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from eventcast.engine import memberships, names
from eventcast.engine.memberships import Memberships
from eventcast.exceptions import LayerUnavailable
from tests.fakes import FlakyLayer, layer_in_use, until


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


# --- a layer that fails -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["new_channel", "group_add"])
async def test_join_raises_when_the_layer_is_down(joined: Memberships, layer: FlakyLayer, method: str) -> None:
    layer.failing = {method}
    with pytest.raises(LayerUnavailable):
        await joined.join("/a")


@pytest.mark.parametrize("method", ["new_channel", "group_add"])
async def test_join_that_raised_leaves_no_trace(joined: Memberships, layer: FlakyLayer, method: str) -> None:
    before = asyncio.all_tasks()
    layer.failing = {method}
    with pytest.raises(LayerUnavailable):
        await joined.join("/a")
    await until(lambda: asyncio.all_tasks() == before)
    assert "/a" not in joined._memberships


async def test_join_works_again_when_the_layer_is_back(joined: Memberships, layer: FlakyLayer) -> None:
    layer.failing = {"new_channel"}
    with pytest.raises(LayerUnavailable):
        await joined.join("/a")
    layer.failing = set()
    await joined.join("/a")
    assert members(layer, "/a") == 1


async def test_leave_never_raises_when_the_layer_is_down(
    joined: Memberships, layer: FlakyLayer, caplog: pytest.LogCaptureFixture
) -> None:
    await joined.join("/a")
    layer.failing = {"group_discard"}
    joined.leave("/a")
    await until(lambda: "/a" not in joined._memberships)
    assert "Leaving the group of '/a' failed" in caplog.text


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memberships, "LONGEST_RETRY", 0.001)


@pytest.mark.usefixtures("impatient")
async def test_receiving_that_fails_while_joining_works_is_one_line_in_the_log(
    joined: Memberships, layer: FlakyLayer, caplog: pytest.LogCaptureFixture
) -> None:
    layer.failing = {"receive"}
    await joined.join("/a")
    await until(lambda: layer.calls.count("receive") > 20)
    assert caplog.text.count("Receiving from the channel layer fails") == 1
    assert "is back" not in caplog.text


@pytest.mark.usefixtures("impatient")
async def test_receiving_waits_longer_with_each_failure(
    joined: Memberships, layer: FlakyLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest: list[float] = []
    monkeypatch.setattr(memberships, "LONGEST_RETRY", 1000)
    monkeypatch.setattr(memberships.random, "uniform", lambda low, high: longest.append(high) or 0)
    layer.failing = {"receive"}  # and joining works all the time
    await joined.join("/a")
    await until(lambda: len(longest) > 4)
    assert longest[:5] == [0.2, 0.4, 0.8, 1.6, 3.2]


@pytest.mark.usefixtures("impatient")
async def test_layer_counts_as_back_when_nothing_comes_for_a_while(
    joined: Memberships, layer: FlakyLayer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memberships, "STEADY", 0.001)
    layer.failing = {"receive", "group_add"}
    with pytest.raises(LayerUnavailable):
        await joined.join("/a")
    layer.failing = {"receive"}
    await joined.join("/a")
    await until(lambda: "fails; retrying" in caplog.text)
    layer.failing = set()
    await until(lambda: "is back" in caplog.text)
    assert joined._failures == 0


@pytest.mark.usefixtures("impatient")
async def test_receiving_goes_on_when_the_layer_is_back(
    joined: Memberships, layer: FlakyLayer, accepted: list[dict[str, Any]]
) -> None:
    await joined.join("/b")  # while this is joined, the receiver runs
    await until(lambda: "receive" in layer.calls)
    layer.failing = {"receive", "group_add"}
    await send(layer, "/b", {"number": 1})  # wakes the receiver, which then runs into the failure
    await until(lambda: layer.calls.count("group_add") > 3)
    await layer.flush()  # as a Redis that was restarted
    layer.failing = set()
    await until(lambda: members(layer, "/b") == 1)
    await send(layer, "/b", {"number": 2})
    await until(lambda: accepted[-1:] == [{"number": 2}])


@pytest.mark.usefixtures("impatient")
async def test_failing_layer_is_logged_once_and_when_it_is_back(
    joined: Memberships, layer: FlakyLayer, caplog: pytest.LogCaptureFixture
) -> None:
    layer.failing = {"receive"}
    await joined.join("/a")
    layer.failing = {"receive", "group_add"}
    await until(lambda: layer.calls.count("group_add") > 5)
    layer.failing = set()
    await until(lambda: "is back" in caplog.text)
    assert caplog.text.count("Receiving from the channel layer fails") == 1


async def test_receiving_goes_on_when_a_message_cannot_be_handed_on(
    layer: FlakyLayer, caplog: pytest.LogCaptureFixture
) -> None:
    accepted: list[Any] = []
    found = Memberships(lambda event: accepted.append(event["number"]))
    await found.join("/a")
    await send(layer, "/a", {"nonsense": 1})
    await send(layer, "/a", {"number": 2})
    await until(lambda: accepted == [2])
    found.leave("/a")
    await until(lambda: "/a" not in found._memberships)
    assert "could not be passed on" in caplog.text


# --- what keeps memberships right -------------------------------------------------------------------------------------


async def test_memberships_are_renewed_well_before_the_layer_forgets_them(
    joined: Memberships, layer: FlakyLayer
) -> None:
    layer.group_expiry = 0.02
    await joined.join("/a")
    layer.groups.clear()  # as if it had forgotten
    await until(lambda: members(layer, "/a") == 1)
    assert layer.calls.count("group_add") >= 2


async def test_renewal_goes_on_after_one_that_failed(joined: Memberships, layer: FlakyLayer) -> None:
    layer.group_expiry = 0.01
    await joined.join("/a")
    layer.failing = {"group_add"}
    await until(lambda: layer.calls.count("group_add") >= 3)
    layer.groups.clear()
    layer.failing = set()
    await until(lambda: members(layer, "/a") == 1)


async def test_renewal_ends_with_the_last_member(joined: Memberships, layer: FlakyLayer) -> None:
    layer.group_expiry = 0.001
    await joined.join("/a")
    joined.leave("/a")
    await until(lambda: joined._renewal is None)


async def test_stale_group_is_left_again(joined: Memberships, layer: FlakyLayer) -> None:
    await joined.join("/a")
    await layer.group_add(names.group_name("/b"), joined._layer_channel)
    joined.leave_stale("/b")
    await until(lambda: members(layer, "/b") == 0)


async def test_stale_group_is_joined_after_the_layer_has_heard_that_it_is_left(
    joined: Memberships, layer: FlakyLayer
) -> None:
    # The other way round, on two connections to a Redis, the subscriber would never hear anything.
    await joined.join("/b")
    layer.gate = asyncio.Event()
    joined.leave_stale("/a")
    await until(lambda: layer.calls[-1] == "group_discard")
    joining = asyncio.create_task(joined.join("/a"))
    await asyncio.sleep(0)
    layer.gate.set()
    await joining
    assert [call for call in layer.calls if call.startswith("group_")] == ["group_add", "group_discard", "group_add"]
    assert members(layer, "/a") == 1


async def test_stale_group_leaves_no_trace(joined: Memberships, layer: FlakyLayer) -> None:
    await joined.join("/b")
    joined.leave_stale("/a")
    await until(lambda: not joined._tasks)
    assert list(joined._memberships) == ["/b"]


async def test_stale_group_is_kept_when_a_subscriber_has_come(joined: Memberships, layer: FlakyLayer) -> None:
    joined.leave_stale("/a")
    await joined.join("/a")
    await until(lambda: not joined._tasks)
    assert members(layer, "/a") == 1


class BusyLayer(FlakyLayer):
    """A layer that has fifty messages at hand, so that receiving them never waits."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 50

    async def receive(self, channel: str) -> dict[str, Any]:
        if self.left:
            self.left -= 1
            return {"number": self.left}
        return await super().receive(channel)


async def test_receiving_lets_others_have_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memberships, "DRAIN", 5)
    accepted: list[dict[str, Any]] = []
    found, seen = Memberships(accepted.append), set()
    with layer_in_use(BusyLayer()):
        await found.join("/a")
        while len(accepted) < 50:
            await asyncio.sleep(0)
            seen.add(len(accepted))
        found.leave("/a")
        await until(lambda: "/a" not in found._memberships)
    assert len(seen) >= 10
