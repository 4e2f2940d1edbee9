from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from eventcast.engine import keepalive
from eventcast.engine.keepalive import Keepalive, PingSchedule
from tests.fakes import until


class Peer:
    """A connection, and what is done to it."""

    def __init__(self, *, answers: bool) -> None:
        self.answered = True
        self.pings = 0
        self.lost = 0
        self._answers = answers

    def send_ping(self) -> None:
        self.pings += 1
        self.answered = self._answers

    def connection_lost(self) -> None:
        self.lost += 1


def ticks(schedule: PingSchedule, number: int, *, start: float = 0.0) -> None:
    """Let time pass, second by second."""
    for second in range(number):
        schedule.tick(start + second)


def test_peer_that_answers_is_pinged_once_in_an_interval() -> None:
    schedule, peer = PingSchedule(5, 20), Peer(answers=True)
    schedule.add(peer)
    ticks(schedule, 15)
    assert (peer.pings, peer.lost) == (3, 0)


def test_first_ping_comes_after_one_interval() -> None:
    schedule, peer = PingSchedule(5, 20), Peer(answers=True)
    ticks(schedule, 3)
    schedule.add(peer)
    ticks(schedule, 4)
    before = peer.pings
    ticks(schedule, 1)
    assert (before, peer.pings) == (0, 1)


def test_peer_that_does_not_answer_is_cut_off_after_the_timeout() -> None:
    schedule, peer = PingSchedule(5, 8), Peer(answers=False)
    schedule.add(peer)
    ticks(schedule, 5)  # The ping is at second 4.
    pinged = peer.pings
    ticks(schedule, 7, start=5)
    in_time = peer.lost
    ticks(schedule, 1, start=12)
    assert (pinged, in_time, peer.lost, peer.pings) == (1, 0, 1, 1)


def test_peer_that_answers_late_but_in_time_is_kept() -> None:
    schedule, peer = PingSchedule(5, 8), Peer(answers=False)
    schedule.add(peer)
    ticks(schedule, 11)
    peer.answered = True
    ticks(schedule, 4, start=11)
    assert (peer.lost, peer.pings) == (0, 2)


def test_timeout_shorter_than_the_interval_ends_at_the_next_ping() -> None:
    schedule, peer = PingSchedule(5, 1), Peer(answers=False)
    schedule.add(peer)
    ticks(schedule, 11)
    assert (peer.pings, peer.lost) == (1, 1)


def test_peer_is_never_cut_off_without_a_timeout() -> None:
    schedule, peer = PingSchedule(5, None), Peer(answers=False)
    schedule.add(peer)
    ticks(schedule, 50)
    assert (peer.pings, peer.lost) == (10, 0)


def test_peer_that_left_is_pinged_no_more() -> None:
    schedule, peer = PingSchedule(5, 20), Peer(answers=True)
    schedule.discard(peer, schedule.add(peer))
    ticks(schedule, 10)
    assert (peer.pings, schedule.count) == (0, 0)


def test_peer_that_left_twice_is_counted_once() -> None:
    schedule, peer, other = PingSchedule(5, 20), Peer(answers=True), Peer(answers=True)
    bucket = schedule.add(peer)
    schedule.add(other)
    schedule.discard(peer, bucket)
    schedule.discard(peer, bucket)
    assert schedule.count == 1


def test_peers_that_come_at_different_times_are_pinged_at_different_times() -> None:
    schedule, pings = PingSchedule(10, 20), []
    for second in range(10):
        schedule.add(Peer(answers=True))
        schedule.tick(second)
    for second in range(10, 20):
        before = [peer.pings for bucket in schedule._buckets for peer in bucket]  # type: ignore[attr-defined]
        schedule.tick(second)
        pings.append(sum(peer.pings for bucket in schedule._buckets for peer in bucket) - sum(before))  # type: ignore[attr-defined]
    assert max(pings) <= 2


def test_peer_may_leave_while_others_are_pinged() -> None:
    schedule = PingSchedule(1, 20)

    class Leaving(Peer):
        def send_ping(self) -> None:
            super().send_ping()
            for each, bucket in places.items():
                schedule.discard(each, bucket)

    places = {peer: schedule.add(peer) for peer in [Leaving(answers=True) for _ in range(3)]}
    schedule.tick(0)
    assert schedule.count == 0


# --- the timer --------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive, "TICK", 0.001)


@pytest.mark.usefixtures("quick")
async def test_timer_runs_while_there_is_a_peer() -> None:
    found, peer = Keepalive(), Peer(answers=True)
    schedule = found.schedule(0.001, 1.0)
    bucket = schedule.add(peer)
    await until(lambda: peer.pings > 2)
    schedule.discard(peer, bucket)
    await until(lambda: found._timer is None)
    assert found.peers == 0


@pytest.mark.usefixtures("quick")
async def test_timer_starts_again_with_the_next_peer() -> None:
    found = Keepalive()
    for _ in range(2):
        peer, schedule = Peer(answers=True), found.schedule(0.001, 1.0)
        bucket = schedule.add(peer)
        await until(lambda peer=peer: peer.pings)
        schedule.discard(peer, bucket)
        await until(lambda: found._timer is None)


async def test_schedules_with_the_same_times_are_one() -> None:
    found = Keepalive()
    assert found.schedule(20, 30) is found.schedule(20, 30)
    assert found.schedule(20, 30) is not found.schedule(20, None)


def test_keepalive_does_not_keep_its_event_loop() -> None:
    loop = asyncio.new_event_loop()

    async def start() -> Keepalive:
        found = Keepalive()
        found.schedule(20, 30)
        return found

    found = loop.run_until_complete(start())
    finalizer = weakref.finalize(loop, lambda: None)
    loop.close()
    found._timer = None
    del loop
    gc.collect()
    assert not finalizer.alive


@pytest.mark.parametrize("interval", [0, -1])
async def test_keepalive_without_an_interval_has_the_default(interval: float) -> None:
    found = Keepalive()
    assert found.schedule(interval, 30) is found.schedule(keepalive.DEFAULT, 30)
    assert found.schedule(interval, 30).period == 20
