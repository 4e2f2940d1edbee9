from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from eventcast.engine import pulse
from eventcast.engine.pulse import Pulse, Rhythm
from tests.fakes import until


class Peer:
    """A connection, and what is done to it."""

    def __init__(self, *, answers: bool) -> None:
        self.heard = True
        self.beats = 0
        self.lost = 0
        self._answers = answers

    def beat(self) -> None:
        self.beats += 1
        self.heard = self._answers

    def connection_lost(self) -> None:
        self.lost += 1


def ticks(rhythm: Rhythm, number: int, *, start: float = 0.0) -> None:
    """Let time pass, second by second."""
    for second in range(number):
        rhythm.tick(start + second)


def test_peer_that_answers_beats_once_in_an_interval() -> None:
    rhythm, peer = Rhythm(5, 20), Peer(answers=True)
    rhythm.add(peer)
    ticks(rhythm, 15)
    assert (peer.beats, peer.lost) == (3, 0)


def test_first_beat_comes_after_one_interval() -> None:
    rhythm, peer = Rhythm(5, 20), Peer(answers=True)
    ticks(rhythm, 3)
    rhythm.add(peer)
    ticks(rhythm, 4)
    before = peer.beats
    ticks(rhythm, 1)
    assert (before, peer.beats) == (0, 1)


def test_peer_that_does_not_answer_is_cut_off_after_the_timeout() -> None:
    rhythm, peer = Rhythm(5, 8), Peer(answers=False)
    rhythm.add(peer)
    ticks(rhythm, 5)  # The beat is at second 4.
    beaten = peer.beats
    ticks(rhythm, 7, start=5)
    in_time = peer.lost
    ticks(rhythm, 1, start=12)
    assert (beaten, in_time, peer.lost, peer.beats) == (1, 0, 1, 1)


def test_peer_that_answers_late_but_in_time_is_kept() -> None:
    rhythm, peer = Rhythm(5, 8), Peer(answers=False)
    rhythm.add(peer)
    ticks(rhythm, 11)
    peer.heard = True
    ticks(rhythm, 4, start=11)
    assert (peer.lost, peer.beats) == (0, 2)


def test_timeout_shorter_than_the_interval_ends_at_the_next_beat() -> None:
    rhythm, peer = Rhythm(5, 1), Peer(answers=False)
    rhythm.add(peer)
    ticks(rhythm, 11)
    assert (peer.beats, peer.lost) == (1, 1)


def test_peer_is_never_cut_off_without_a_timeout() -> None:
    rhythm, peer = Rhythm(5, None), Peer(answers=False)
    rhythm.add(peer)
    ticks(rhythm, 50)
    assert (peer.beats, peer.lost) == (10, 0)


def test_peer_that_left_beats_no_more() -> None:
    rhythm, peer = Rhythm(5, 20), Peer(answers=True)
    rhythm.discard(peer, rhythm.add(peer))
    ticks(rhythm, 10)
    assert (peer.beats, rhythm.count) == (0, 0)


def test_peer_that_left_twice_is_counted_once() -> None:
    rhythm, peer, other = Rhythm(5, 20), Peer(answers=True), Peer(answers=True)
    bucket = rhythm.add(peer)
    rhythm.add(other)
    rhythm.discard(peer, bucket)
    rhythm.discard(peer, bucket)
    assert rhythm.count == 1


def test_peers_that_come_at_different_times_beat_at_different_times() -> None:
    rhythm, beating = Rhythm(10, 20), []
    for second in range(10):
        rhythm.add(Peer(answers=True))
        rhythm.tick(second)
    for second in range(10, 20):
        before = [peer.beats for bucket in rhythm._buckets for peer in bucket]  # type: ignore[attr-defined]
        rhythm.tick(second)
        beating.append(sum(peer.beats for bucket in rhythm._buckets for peer in bucket) - sum(before))  # type: ignore[attr-defined]
    assert max(beating) <= 2


def test_peer_may_leave_while_others_beat() -> None:
    rhythm = Rhythm(1, 20)

    class Leaving(Peer):
        def beat(self) -> None:
            super().beat()
            for each, bucket in places.items():
                rhythm.discard(each, bucket)

    places = {peer: rhythm.add(peer) for peer in [Leaving(answers=True) for _ in range(3)]}
    rhythm.tick(0)
    assert rhythm.count == 0


# --- the timer --------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "TICK", 0.001)


@pytest.mark.usefixtures("quick")
async def test_timer_runs_while_there_is_a_peer() -> None:
    found, peer = Pulse(), Peer(answers=True)
    rhythm = found.rhythm(0.001, 1.0)
    bucket = rhythm.add(peer)
    await until(lambda: peer.beats > 2)
    rhythm.discard(peer, bucket)
    await until(lambda: found._timer is None)
    assert found.peers == 0


@pytest.mark.usefixtures("quick")
async def test_timer_starts_again_with_the_next_peer() -> None:
    found = Pulse()
    for _ in range(2):
        peer, rhythm = Peer(answers=True), found.rhythm(0.001, 1.0)
        bucket = rhythm.add(peer)
        await until(lambda peer=peer: peer.beats)
        rhythm.discard(peer, bucket)
        await until(lambda: found._timer is None)


async def test_rhythms_with_the_same_times_are_one() -> None:
    found = Pulse()
    assert found.rhythm(20, 30) is found.rhythm(20, 30)
    assert found.rhythm(20, 30) is not found.rhythm(20, None)


def test_pulse_does_not_keep_its_event_loop() -> None:
    loop = asyncio.new_event_loop()

    async def start() -> Pulse:
        found = Pulse()
        found.rhythm(20, 30)
        return found

    found = loop.run_until_complete(start())
    finalizer = weakref.finalize(loop, lambda: None)
    loop.close()
    found._timer = None
    del loop
    gc.collect()
    assert not finalizer.alive


@pytest.mark.parametrize("interval", [0, -1])
async def test_pulse_without_an_interval_beats_as_by_default(interval: float) -> None:
    beats = Pulse()
    assert beats.rhythm(interval, 30) is beats.rhythm(pulse.DEFAULT, 30)
    assert beats.rhythm(interval, 30).period == 20
