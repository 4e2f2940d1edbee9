"""Counts that workers remember: each worker tells the others when one of its own changes that they may remember."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from eventcast.layers import links
from eventcast.layers.cluster import Broadcast, ClusterLayer
from eventcast.layers.counting import Reach
from eventcast.layers.mesh import MeshBus
from tests.layer_tools import run_in_thread
from tests.live.waiting import until

SUBSCRIBERS = 7


class Worker(ClusterLayer):
    """The layer of a worker that has :data:`SUBSCRIBERS` subscribers at first."""

    def __init__(self, *peers: tuple[int, bool, socket.socket]) -> None:
        super().__init__(MeshBus(peers))
        self.subscribers, self.asked = SUBSCRIBERS, 0
        self.heard: list[object] = []

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
    pairs = [socket.socketpair() for _ in range(3)]
    (one_two, two_one), (one_three, three_one), (two_three, three_two) = pairs
    made = [
        Worker((2, False, one_two), (3, False, one_three)),
        Worker((1, True, two_one), (3, False, two_three)),
        Worker((1, True, three_one), (2, True, three_two)),
    ]
    for worker in made:
        await worker.start()
        worker.count_with = worker.count
    for worker in made[1:]:
        await worker.join("g")
    yield made
    for worker in made:
        await worker.close()


async def test_workers_are_asked_once_for_counts_that_do_not_change(workers: list[Worker]) -> None:
    assert await workers[0].count_others() == 2 * SUBSCRIBERS
    assert workers[0].publish("g") == Reach(2 * SUBSCRIBERS)
    await until(lambda: len(workers[1].heard) == 2)
    assert workers[1].asked == 1


async def test_first_publish_after_a_change_counts_it_without_a_turn_of_the_event_loop(workers: list[Worker]) -> None:
    await workers[0].count_others()
    workers[1].change(8)
    begun = workers[0].publish("g")
    assert isinstance(begun, Broadcast)
    assert await begun.reach() == Reach(8 + SUBSCRIBERS)
    assert workers[0].publish("g") == Reach(8 + SUBSCRIBERS)


async def test_change_that_nobody_has_to_know_is_told_to_nobody(
    workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    flush = workers[1].bus.flush
    monkeypatch.setattr(workers[1].bus, "flush", lambda: (told.append("changed"), flush()))
    workers[1].change(8)
    await workers[0].count_others()
    workers[1].change(9)
    workers[1].change(10)
    assert told == ["changed"]


async def test_count_that_changes_while_another_worker_has_not_answered_is_not_remembered(
    workers: list[Worker],
) -> None:
    begun = workers[0].publish("g")
    links = {link.number: link for link in workers[0].bus._links}  # type: ignore[attr-defined]
    for link in links.values():
        link.flush()
    [asked] = [each for each in workers[1].bus._links if each.number == 1]  # type: ignore[attr-defined]
    asked.read_all()
    workers[1].change(8)
    links[2].read_all()  # its answer, then its change
    assert isinstance(begun, Broadcast)
    assert await begun.reach() == Reach(2 * SUBSCRIBERS)
    assert await workers[0].count_others() == 8 + SUBSCRIBERS


async def test_answer_without_all_workers_is_not_remembered(workers: list[Worker]) -> None:
    workers[1].bus.paused = lambda: None  # It sends no counts.
    reach = await workers[0].broadcast([("g", {"type": "x"})], count=True)
    assert reach == Reach(SUBSCRIBERS, missing=1)
    assert isinstance(workers[0].publish("g"), Broadcast)


async def test_worker_that_joins_or_leaves_the_group_is_counted_and_what_was_remembered_is_forgotten(
    workers: list[Worker],
) -> None:
    await workers[1].count_others()
    channel = await workers[0].join("g")
    assert await workers[1].count_others() == 2 * SUBSCRIBERS
    await workers[0].group_discard("g", channel)
    workers[0].bus.flush()
    assert await workers[1].count_others() == SUBSCRIBERS
    await workers[2].close()
    await until(lambda: not workers[1]._tracked)
    assert workers[1].publish("g") == Reach()
    assert not workers[0]._trackers


async def test_subscribers_of_patterns_are_asked_for_each_time(workers: list[Worker]) -> None:
    await workers[1].join("patterns")
    for _ in range(2):
        begun = workers[0].publish("g", "patterns")
        assert isinstance(begun, Broadcast)
        assert await begun.reach() == Reach(3 * SUBSCRIBERS)


async def test_change_in_a_thread_is_told(workers: list[Worker]) -> None:
    await workers[0].count_others()
    run_in_thread(workers[1].change, 8)
    await until(lambda: not workers[0]._tracked)
    assert await workers[0].count_others() == 8 + SUBSCRIBERS


async def test_frame_that_is_being_taken_may_publish(workers: list[Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    """As a log handler does. What has come after that frame is taken after it."""
    await workers[0].join("g")
    await workers[1].count_others()
    begun: list[object] = []

    def publish_once(message: object) -> None:
        if not begun:
            begun.append(None)  # It hears itself.
            begun[0] = workers[1].publish("g")

    channel = await workers[1].new_channel()
    workers[1].receive_with(channel, publish_once)
    await workers[1].group_add("g", channel)
    monkeypatch.setattr(links, "READ_SIZE", 300)  # Some of the frames are in the socket when the first is taken.
    for number in range(10):
        await workers[0].broadcast([("g", {"type": "x", "number": number})])
    await until(lambda: len(workers[1].heard) == 12)
    assert begun == [Reach(2 * SUBSCRIBERS)]
    assert [each["number"] for each in workers[1].heard if "number" in each] == list(range(10))  # type: ignore[index, operator]
