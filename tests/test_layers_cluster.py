"""The channel layer of several processes: several layers on one bus, in one process."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from eventcast.exceptions import LayerUnavailable
from eventcast.layers import counting, heartbeats
from eventcast.layers.bus import Then
from eventcast.layers.cluster import ClusterLayer
from eventcast.layers.counting import EXACT, Reach
from tests.fakes import set_clock, until
from tests.shared_bus import SharedBus, Switch


@pytest.fixture(params=[True, False], ids=["returning", "not-returning"])
def switch(request: pytest.FixtureRequest) -> Switch:
    return Switch(returns=request.param)


@pytest.fixture
async def layers(switch: Switch) -> AsyncIterator[list[ClusterLayer]]:
    """The layers of three processes."""
    made = [switch.layer() for _ in range(3)]
    for layer in made:
        await layer.start()
        layer.count_with = lambda message: 1  # in place of the engine's
    yield made
    for layer in made:
        await layer.close()


async def join(layer: ClusterLayer, group: str = "g") -> list[dict[str, Any]]:
    """What a new member hears."""
    heard: list[dict[str, Any]] = []
    channel = await layer.new_channel()
    layer.receive_with(channel, heard.append)
    await layer.group_add(group, channel)
    return heard


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_group_reaches_members_of_all_processes_once_and_in_order(layers: list[ClusterLayer]) -> None:
    heard = [await join(layer) for layer in (*layers, layers[0])]
    for number in range(100):
        await layers[0].group_send("g", {"n": number})
    await settle()
    assert [[message["n"] for message in member] for member in heard] == [list(range(100))] * 4


async def test_members_read_their_channels(layers: list[ClusterLayer]) -> None:
    name = await layers[1].new_channel()
    await layers[1].group_add("g", name)
    await layers[0].group_send("g", {"type": "a"})
    assert await layers[1].receive(name) == {"type": "a"}
    await layers[1].group_discard("g", name)
    await layers[0].group_send("g", {"type": "b"})
    await layers[0].send(name, {"type": "c"})
    assert await layers[1].receive(name) == {"type": "c"}


async def test_process_without_members_is_told_nothing(layers: list[ClusterLayer], switch: Switch) -> None:
    channel = await layers[1].new_channel()
    await layers[1].group_add("g", channel)
    await layers[1].group_add("g", channel)
    assert ["group.g" in bus.topics for bus in switch.buses] == [False, True, False]
    await layers[1].group_discard("g", channel)
    assert not any("group.g" in bus.topics for bus in switch.buses)


async def test_group_that_is_joined_while_its_last_member_leaves_is_heard(
    layers: list[ClusterLayer], switch: Switch
) -> None:
    first, second = await layers[0].new_channel(), await layers[0].new_channel()

    async def come_and_go() -> None:
        await layers[0].group_add("g", first)
        await layers[0].group_discard("g", first)

    await asyncio.gather(come_and_go(), layers[0].group_add("g", second), come_and_go())
    assert "group.g" in switch.buses[0].topics


async def test_flush_ends_memberships(layers: list[ClusterLayer], switch: Switch) -> None:
    heard = await join(layers[1])
    await layers[1].flush()
    await layers[0].group_send("g", {"n": 1})
    await settle()
    assert heard == []
    assert "group.g" not in switch.buses[1].topics


async def test_count_is_of_the_other_processes_and_exact(layers: list[ClusterLayer]) -> None:
    for number, layer in enumerate(layers):
        await join(layer)
        layer.count_with = lambda message, number=number: 10**number  # type: ignore[misc]
    await join(layers[2], "patterns")
    assert await layers[0].broadcast([("g", {}), ("patterns", {})], count=True) == Reach(10 + 100 + 100)
    assert await layers[1].broadcast([("g", {})], count=True) == Reach(1 + 100)
    assert await layers[1].broadcast([("nobody", {})], count=True) == Reach(0)


async def test_process_that_hears_a_message_twice_is_waited_for_twice(
    layers: list[ClusterLayer], switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, layer in enumerate(layers):
        await join(layer)
        await join(layer, "patterns")
        layer.count_with = lambda message, number=number: 10**number  # type: ignore[misc]
    await settle()
    layers[0]._heartbeats._returning_since -= 2 * heartbeats.INTERVAL  # from then on it knows who lives
    arrive, loop = switch.buses[2].arrive, asyncio.get_running_loop()
    late = functools.partial(loop.call_later, 0.01, arrive)
    monkeypatch.setattr(switch.buses[2], "arrive", late)
    assert await layers[0].broadcast([("g", {}), ("patterns", {})], count=True) == Reach(2 * (10 + 100))


async def test_only_processes_that_hear_a_group_are_asked_for_counts(
    layers: list[ClusterLayer], switch: Switch
) -> None:
    await join(layers[1])
    switch.published.clear()
    await layers[0].broadcast([("g", {})], count=True)
    assert switch.published == ["group.g", f"process.{layers[0].id}"]
    await layers[0].broadcast([("g", {})])
    assert switch.published[2:] == ["group.g"]


async def test_count_says_how_many_processes_have_not_answered(layers: list[ClusterLayer], switch: Switch) -> None:
    for layer in layers:
        await join(layer)
    switch.buses[1].deaf = True
    assert await layers[0].broadcast([("g", {})], count=True) == Reach(1, missing=1)


async def beat(layers: list[ClusterLayer], monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    set_clock(monkeypatch, heartbeats, now)
    for layer in layers:
        layer._heartbeats.stop()
        layer._heartbeats._beat(asyncio.get_running_loop())
    await settle()


async def test_process_that_is_gone_is_not_waited_for(
    layers: list[ClusterLayer], switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for layer in layers:
        await join(layer)
    switch.buses[1].deaf = True  # It was cut off, and is still subscribed.
    began = time.monotonic()
    for later in (2, 4, 6, 8, 10):
        await beat([layers[0], layers[2]], monkeypatch, began + later)
    # A bus that does not return what it is given knows itself which processes are gone.
    assert await layers[0].broadcast([("g", {})], count=True) == Reach(1, missing=not switch.returns)


async def test_counts_are_true_at_once_after_heartbeats_were_lost(
    layers: list[ClusterLayer], switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for layer in layers:
        await join(layer)
    began = time.monotonic()
    switch.refusal = LayerUnavailable("refused")
    for later in (2, 4, 6, 8, 10):
        await beat(layers, monkeypatch, began + later)
    switch.refusal = None
    await beat(layers[:1], monkeypatch, began + 12)
    assert len(layers[0].processes()) == 1  # The others will say in a moment that they live.
    assert await layers[0].broadcast([("g", {})], count=True) == Reach(2)


async def test_counts_at_a_high_rate_are_those_of_the_last_second(
    layers: list[ClusterLayer], switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, counting, 1.5)
    await join(layers[1])
    layers[1].count_with = lambda message: 7
    assert [await layers[0].broadcast([("g", {})], count=True) for _ in range(EXACT)] == [Reach(7)] * EXACT
    set_clock(monkeypatch, counting, 1.75)
    switch.published.clear()
    assert await layers[0].broadcast([("g", {})], count=True) == Reach(7, age=0.25)
    assert switch.published == ["group.g"]
    set_clock(monkeypatch, counting, 2.0)
    assert await layers[0].broadcast([("g", {})], count=True) == Reach(7)


async def test_ask_asks_all_processes(layers: list[ClusterLayer], switch: Switch) -> None:
    for number, layer in enumerate(layers):
        layer.answer("add", lambda data, number=number: data["to"] + number)  # type: ignore[misc]
    answers, missing = await layers[0].ask("add", {"to": 10})
    assert (answers[0], sorted(answers), missing) == (10, [10, 11, 12], 0)
    switch.buses[2].deaf = True
    assert await layers[0].ask("add", {"to": 10}) == ([10, 11], 1)


async def test_slow_question_is_answered_in_threads(
    layers: list[ClusterLayer], caplog: pytest.LogCaptureFixture
) -> None:
    layers[0].answer("n", lambda data: threading.get_ident(), in_thread=True)
    layers[1].answer("n", lambda data: threading.get_ident(), in_thread=True)
    layers[2].answer("n", lambda data: threading.get_ident(), in_thread=True)
    answers, missing = await layers[0].ask("n")
    assert (len(answers), threading.get_ident() in answers, missing) == (3, False, 0)
    layers[2].answer("n", lambda data: 1 // 0, in_thread=True)
    await layers[0].ask("n")
    await until(lambda: "The question 'n' of another process could not be answered." in caplog.text)


async def test_question_is_not_longer_under_way_than_answers_may_take(
    layers: list[ClusterLayer], monkeypatch: pytest.MonkeyPatch
) -> None:
    layers[0].answer("n", lambda data: 1)
    late: list[Then] = []
    monkeypatch.setattr(layers[0].bus, "publish", lambda topic, payload, then: late.append(then))
    assert (await layers[0].ask("n"))[0] == [1]
    late[0](LayerUnavailable("The bus has not answered."))
    monkeypatch.undo()


async def test_question_that_a_process_does_not_know_is_missing(
    layers: list[ClusterLayer], caplog: pytest.LogCaptureFixture
) -> None:
    layers[0].answer("new", lambda data: 1)
    assert await layers[0].ask("new") == ([1], 2)
    assert "could not be passed on" in caplog.text


async def test_processes_know_each_other_by_their_heartbeats(
    layers: list[ClusterLayer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeats, "INTERVAL", 0.01)
    layers[0].describe_with = lambda: {"subscribers": 3}
    while len(layers[1].processes()) < 3:
        await asyncio.sleep(0.01)
        for layer in layers:
            layer._heartbeats.stop()
            layer._heartbeats.start()
    assert {process.id for process in layers[1].processes()} == {layer.id for layer in layers}
    assert [p.about["subscribers"] for p in layers[1].processes() if p.id == layers[0].id] == [3]
    await layers[0].close()
    await settle()
    assert len(layers[1].processes()) == 2
    now = time.monotonic()
    set_clock(monkeypatch, heartbeats, now + heartbeats.GONE + 1)
    assert len(layers[1].processes()) == 1


async def test_process_is_known_again_as_soon_as_its_bus_works(layers: list[ClusterLayer]) -> None:
    await settle()
    layers[0]._heartbeats.note(layers[1].id, None)  # as after seven seconds
    assert layers[1].id not in {each.id for each in layers[0].processes()}
    layers[1].bus.returned()
    await settle()
    assert layers[1].id in {each.id for each in layers[0].processes()}


async def test_process_that_could_not_hear_the_others_waits_for_all_receivers(layers: list[ClusterLayer]) -> None:
    for number, layer in enumerate(layers):
        await join(layer)
        layer.count_with = lambda message, number=number: 10**number  # type: ignore[misc]
    for layer in layers[1:]:
        layers[0]._heartbeats.note(layer.id, None)
    layers[0]._heartbeats._returning_since -= 2 * heartbeats.INTERVAL
    layers[0].bus.returned()
    assert await layers[0].broadcast([("g", {})], count=True) == Reach(10 + 100)


async def test_bus_that_returns_no_heartbeat_is_suspected(
    layers: list[ClusterLayer], switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    for later in (3, 6, 9, 12):
        set_clock(monkeypatch, heartbeats, now + later)
        layers[0]._heartbeats._beat(asyncio.get_running_loop())
        await settle()
    assert len(switch.buses[0].suspicions) == (0 if switch.returns else 2)
    layers[0]._heartbeats.stop()


async def test_degraded_layer_delivers_to_its_own_members_and_says_so(
    layers: list[ClusterLayer], switch: Switch
) -> None:
    near, far = await join(layers[0]), await join(layers[1])
    assert not layers[0].degraded
    switch.buses[0].up = False
    assert layers[0].degraded
    assert await layers[0].broadcast([("g", {"n": 1})], count=True) == Reach(degraded=True)
    await settle()
    assert (near, far) == ([{"n": 1}], [])


async def test_message_that_the_bus_refuses_is_delivered_to_no_member(
    layers: list[ClusterLayer], switch: Switch
) -> None:
    heard = await join(layers[0])
    switch.refusal = LayerUnavailable("refused; nothing was sent")
    with pytest.raises(LayerUnavailable, match="nothing was sent"):
        await layers[0].broadcast([("g", {}), ("patterns", {})], count=True)
    assert heard == []


async def test_garbage_on_the_bus_is_logged_and_ignored(
    layers: list[ClusterLayer], switch: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    heard = await join(layers[0])
    for payload in (b"", b"\0" * 12, b"\0" * 12 + SharedBus.encode(["unknown"]), b"\0" * 12 + SharedBus.encode(1)):
        for topic in ("group.g", "all", f"process.{layers[0].id}"):
            switch.buses[0].receive(topic, payload)
    assert heard == []
    assert "could not be passed on" in caplog.text


async def test_process_that_has_no_members_publishes_without_starting_the_bus(switch: Switch) -> None:
    publisher = switch.layer()
    sent: list[Any] = []
    publisher.bus.publish_now = lambda sends: [sent.append(topic) or 1 for topic, _ in sends]  # type: ignore[method-assign, func-returns-value]
    await publisher.group_send("g", {"n": 1})
    publisher.broadcast_now([("g", {"n": 2})])
    assert sent == ["group.g"] * 2
    assert not publisher.lives


async def test_layer_lives_on_one_event_loop_and_serves_others(switch: Switch) -> None:
    layer = switch.layer()
    heard = await join(layer)

    def elsewhere() -> None:
        asyncio.run(layer.group_send("g", {"n": 1}))
        layer.broadcast_now([("g", {"n": 2})])

    await asyncio.to_thread(elsewhere)
    assert heard == [{"n": 1}, {"n": 2}]
    await layer.close()


def test_layer_moves_when_its_event_loop_has_ended(switch: Switch) -> None:
    layer = switch.layer()
    asyncio.run(join(layer))
    assert not layer.lives

    async def use() -> list[dict[str, Any]]:
        heard = await join(layer)
        await layer.group_send("g", {"n": 1})
        await layer.close()
        return heard

    assert asyncio.run(use()) == [{"n": 1}]
