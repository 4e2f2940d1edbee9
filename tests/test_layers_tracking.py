"""Counts that workers remember: each worker tells the others when one of its own changes that they may remember."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from eventcast.layers import links, mesh
from eventcast.layers.broadcasts import Broadcast
from eventcast.layers.cluster import ClusterLayer
from eventcast.layers.counting import Reach
from eventcast.layers.links import Link, Peer
from eventcast.layers.mesh import MeshBus
from tests.layer_tools import link_with, run_in_thread, shared_changes
from tests.live.waiting import until

SUBSCRIBERS = 7


class Worker(ClusterLayer):
    """The layer of a worker that has :data:`SUBSCRIBERS` subscribers at first."""

    def __init__(self, others: Sequence[Worker]) -> None:
        changes = others[0].bus._changes if others else shared_changes()
        super().__init__(MeshBus(link_with([other.bus for other in others]), changes, len(others)))
        self.bus: MeshBus
        self.subscribers, self.asked = SUBSCRIBERS, 0
        self.heard: list[object] = []

    async def start(self) -> None:
        await super().start()
        self.count_with = self.count

    def count(self, message: dict[str, Any]) -> int:
        self.asked += 1
        return self.subscribers

    async def join(self, group: str) -> str:
        channel = await self.new_channel()
        self.receive_with(channel, self.heard.append)
        await self.group_add(group, channel)
        return channel

    def change(self, subscribers: int) -> None:
        """Have so many subscribers from now on."""
        self.subscribers = subscribers
        self.count_changed("g")

    def publish(self, *groups: str) -> Reach | Broadcast:
        """What is known at once: the counts, or only that others are asked for them."""
        return self.begin([(group, {"type": "x"}) for group in groups], count=True)

    async def count_others(self) -> int:
        reach = await self.broadcast([("g", {"type": "x"})], count=True)
        assert reach == Reach(reach.subscribers)
        return reach.subscribers


@pytest.fixture
async def workers() -> AsyncIterator[list[Worker]]:
    """Three, of which the last two are in the group ``g``."""
    made: list[Worker] = []
    for _ in range(3):
        made.append(Worker(made))
        await made[-1].start()
    for worker in made[1:]:
        await worker.join("g")
    yield made
    for worker in made:
        await worker.close()


def link(worker: Worker, other: int) -> Link:
    """The link of a worker to another one."""
    [found] = [each for each in worker.bus._links if each.number == other]
    return found


async def settle(workers: list[Worker]) -> None:
    """Let all frames arrive."""
    await until(lambda: not any(each.pending for worker in workers for each in worker.bus._links))
    for worker in workers:
        await worker.bus.subscribe(())


async def test_workers_are_asked_once_for_counts_that_do_not_change(workers: list[Worker]) -> None:
    assert await workers[0].count_others() == 2 * SUBSCRIBERS
    assert workers[0].publish("g") == Reach(2 * SUBSCRIBERS)
    await until(lambda: len(workers[1].heard) == 2)
    assert workers[1].asked == 1


async def test_first_publish_after_a_change_counts_it_at_once(workers: list[Worker]) -> None:
    await workers[0].count_others()
    workers[1].change(8)
    begun = workers[0].publish("g")  # The change is not even in the socket.
    assert isinstance(begun, Broadcast)
    assert await begun.reach() == Reach(8 + SUBSCRIBERS)
    assert await workers[0].count_others() == 8 + SUBSCRIBERS
    assert workers[0].publish("g") == Reach(8 + SUBSCRIBERS)


async def test_change_behind_many_messages_is_counted(workers: list[Worker]) -> None:
    await workers[0].join("other")
    await workers[0].count_others()
    for _ in range(4):
        workers[1].begin([("other", {"type": "x", "data": b"x" * 1_000_000})])
    link(workers[1], 0).flush()  # The socket is full.
    workers[1].change(8)
    assert isinstance(workers[0].publish("g"), Broadcast)
    await settle(workers)
    assert await workers[0].count_others() == 8 + SUBSCRIBERS


async def test_change_is_not_lost_where_messages_are(workers: list[Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    await workers[0].join("other")
    await workers[0].count_others()
    monkeypatch.setattr(links, "BOUND", 1_000_000)
    monkeypatch.setattr(mesh, "BOUND", 1_000_000)
    for _ in range(4):
        workers[1].begin([("other", {"type": "x", "data": b"x" * 1_000_000})])
    workers[1].change(8)
    assert workers[1].losses == {"other": 3}
    await settle(workers)
    assert await workers[0].count_others() == 8 + SUBSCRIBERS


async def test_message_that_a_worker_does_not_get_does_not_count_its_subscribers(
    workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    await workers[0].count_others()
    monkeypatch.setattr(links, "BOUND", 0)
    monkeypatch.setattr(mesh, "BOUND", 0)
    begun = workers[0].publish("g")
    assert isinstance(begun, Broadcast)
    assert await begun.reach() == Reach(0, missing=2)


async def test_each_publisher_is_told_once_of_changes(workers: list[Worker]) -> None:
    told = link(workers[1], 0)
    workers[1].change(8)
    assert not told.pending
    await workers[0].count_others()
    workers[1].change(9)
    assert told.pending
    pending = told.pending
    workers[1].change(10)
    assert told.pending == pending
    assert not link(workers[1], 2).pending
    assert await workers[0].count_others() == 10 + SUBSCRIBERS


async def test_count_that_changes_while_another_worker_has_not_answered_is_not_remembered(
    workers: list[Worker],
) -> None:
    begun = workers[0].publish("g")
    link(workers[0], 1).flush()
    link(workers[1], 0)._readable()
    workers[1].change(8)
    assert isinstance(begun, Broadcast)
    assert await begun.reach() == Reach(2 * SUBSCRIBERS)
    assert await workers[0].count_others() == 8 + SUBSCRIBERS


async def test_answer_without_all_workers_is_not_remembered(workers: list[Worker]) -> None:
    workers[1].bus.paused = lambda: None  # It sends no counts.
    reach = await workers[0].broadcast([("g", {"type": "x"})], count=True)
    assert reach == Reach(SUBSCRIBERS, missing=1)
    assert isinstance(workers[0].publish("g"), Broadcast)


async def test_worker_that_joins_or_leaves_the_group_is_counted_and_nothing_is_remembered_in_the_end(
    workers: list[Worker],
) -> None:
    await workers[1].count_others()
    channel = await workers[0].join("g")
    assert await workers[1].count_others() == 2 * SUBSCRIBERS
    await workers[0].group_discard("g", channel)
    await settle(workers)
    assert await workers[1].count_others() == SUBSCRIBERS
    await workers[2].close()
    await until(lambda: not workers[1]._tracked)
    assert workers[1].publish("g") == Reach()
    assert not any("group.g" in each.relies_on for each in workers[0].bus._links)


async def test_subscribers_of_patterns_are_remembered_with_those_of_the_channel(workers: list[Worker]) -> None:
    await workers[1].join("patterns")
    await workers[1].join("other")
    for group in ("g", "other"):
        begun = workers[0].publish(group, "patterns")
        assert isinstance(begun, Broadcast)
        await begun.reach()
    assert workers[0].publish("g", "patterns") == Reach(3 * SUBSCRIBERS)
    workers[1].count_changed("patterns")
    assert isinstance(workers[0].publish("g", "patterns"), Broadcast)
    await settle(workers)
    assert list(workers[0]._tracked) == []


async def test_first_subscriber_of_a_pattern_is_counted_where_only_the_channel_was_heard(workers: list[Worker]) -> None:
    begun = workers[0].publish("g", "patterns")
    assert isinstance(begun, Broadcast)
    assert await begun.reach() == Reach(2 * SUBSCRIBERS)
    await workers[1].join("patterns")
    begun = workers[0].publish("g", "patterns")
    assert isinstance(begun, Broadcast)
    assert await begun.reach() == Reach(3 * SUBSCRIBERS)


async def test_question_that_crosses_the_end_of_a_subscription_is_answered(workers: list[Worker]) -> None:
    begun = workers[0].publish("g")
    workers[1].bus.unsubscribe(["group.g"])
    await workers[1].local.flush()
    assert isinstance(begun, Broadcast)
    assert await begun.reach() == Reach(SUBSCRIBERS)
    assert not link(workers[1], 0).relies_on


async def test_channels_that_only_patterns_hear_leave_nothing_behind(workers: list[Worker]) -> None:
    await workers[1].join("patterns")
    for number in range(10):
        begun = workers[0].publish(f"nobody{number}", "patterns")
        assert isinstance(begun, Broadcast)
        assert await begun.reach() == Reach(SUBSCRIBERS)
    assert not workers[0]._tracked


async def test_change_in_a_thread_is_told(workers: list[Worker]) -> None:
    await workers[0].count_others()
    run_in_thread(workers[1].change, 8)
    await until(lambda: not workers[0]._tracked)
    assert await workers[0].count_others() == 8 + SUBSCRIBERS


async def test_worker_in_the_place_of_another_one_is_counted(workers: list[Worker]) -> None:
    await workers[0].count_others()
    workers[1].change(8)  # It ends with a change under way.
    for each in list(workers[1].bus._links):
        each.close()
    await until(lambda: len(workers[0].bus._links) == 1)
    ours, theirs = socket.socketpair()
    workers[0].bus.link(Peer(1, 1, theirs))
    new = ClusterLayer(MeshBus([Peer(0, 0, ours)], workers[0].bus._changes, 1))
    await new.start()
    new.count_with = lambda message: 5
    channel = await new.new_channel()
    new.receive_with(channel, lambda message: None)
    await new.group_add("g", channel)
    assert await workers[0].count_others() == SUBSCRIBERS + 5
    assert workers[0].publish("g") == Reach(SUBSCRIBERS + 5)
    await new.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
async def test_worker_with_a_forked_child_is_gone_when_it_has_ended(workers: list[Worker]) -> None:
    child = os.fork()
    if not child:
        workers[1].bus.disown()  # as after each fork of a worker
        signal.pause()
    try:
        for each in list(workers[1].bus._links):
            each.close()
        await until(lambda: len(workers[0].bus._links) == 1)
        assert await workers[0].count_others() == SUBSCRIBERS
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)  # noqa: ASYNC222 (it has been killed)
