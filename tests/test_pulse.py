from __future__ import annotations

import asyncio

from eventcast.server.daphne.pulse import Pulse
from tests.fakes import until


class Peer:
    """A peer, and what is done to it and when."""

    def __init__(self, *, answers: bool) -> None:
        self.heard = False
        self.pings: list[float] = []
        self.given_up: float | None = None
        self._answers = answers
        self.began = asyncio.get_running_loop().time()

    @property
    def age(self) -> float:
        return asyncio.get_running_loop().time() - self.began

    def ping(self) -> None:
        self.pings.append(self.age)
        self.heard = self._answers

    def give_up(self) -> None:
        assert self.given_up is None
        self.given_up = self.age


async def test_peer_that_answers_is_pinged_at_every_interval() -> None:
    peer = Peer(answers=True)
    pulse = Pulse(peer, interval=0.01, timeout=0.015)
    await until(lambda: len(peer.pings) == 4)
    pulse.stop()
    assert peer.given_up is None
    assert all(later - sooner >= 0.0099 for sooner, later in zip(peer.pings, peer.pings[1:], strict=False))


async def test_peer_that_answers_is_pinged_no_sooner_where_the_timeout_is_shorter() -> None:
    peer = Peer(answers=True)
    pulse = Pulse(peer, interval=0.02, timeout=0.001)
    await until(lambda: len(peer.pings) == 3)
    pulse.stop()
    assert peer.pings[2] >= 0.0599


async def test_peer_that_does_not_answer_is_pinged_once_and_given_up() -> None:
    peer = Peer(answers=False)
    Pulse(peer, interval=0.01, timeout=0.025)
    await until(lambda: peer.given_up is not None)
    assert len(peer.pings) == 1
    assert peer.given_up is not None
    assert peer.given_up >= peer.pings[0] + 0.0249


async def test_peer_that_answers_late_but_in_time_is_kept() -> None:
    peer = Peer(answers=False)
    pulse = Pulse(peer, interval=0.001, timeout=0.2)
    await until(lambda: peer.pings)
    peer.heard = True
    await until(lambda: len(peer.pings) == 2)
    pulse.stop()
    assert peer.given_up is None


async def test_stopped_pulse_pings_nobody() -> None:
    peer = Peer(answers=True)
    Pulse(peer, interval=0.001, timeout=1).stop()
    after = Peer(answers=True)
    pulse = Pulse(after, interval=0.005, timeout=1)
    await until(lambda: after.pings)
    pulse.stop()
    assert peer.pings == []


async def test_peer_is_never_given_up_without_a_timeout() -> None:
    peer = Peer(answers=False)
    pulse = Pulse(peer, interval=0.001, timeout=float("inf"))
    other = Peer(answers=True)
    others = Pulse(other, interval=0.001, timeout=1)
    await until(lambda: len(other.pings) > 20)
    pulse.stop()
    others.stop()
    assert (len(peer.pings), peer.given_up) == (1, None)
