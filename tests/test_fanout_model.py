"""A channel's fan-out against a model of it: whatever happens between two slices, all hear all, once and in order."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from django.test import override_settings

from eventcast.engine import fanout
from eventcast.engine.fanout import LocalChannel
from eventcast.engine.messages import Message
from tests.fakes import FakeSubscriber, StuckSubscriber
from tests.fast_path_peers import PAST, Peer


class Member:
    """What the model knows of a subscriber."""

    def __init__(self, subscriber: Peer | FakeSubscriber, first: int) -> None:
        self.subscriber = subscriber
        self.first = first
        """The first message it must hear: what no pass had begun with when it came."""
        self.least = self.most = first
        """Up to here it must have heard, and may have; known once it has left."""

    def heard(self) -> list[int]:
        if isinstance(self.subscriber, Peer):
            return self.subscriber.heard()
        return [int(message.data) for message in self.subscriber.messages]


class World:
    """A channel, and a chance for everything to happen between any two slices."""

    def __init__(self, seed: int, moods: list[str]) -> None:
        self.random = random.Random(seed)
        self.moods = moods
        self.channel = LocalChannel("/a")
        self.members: list[Member] = []
        self.published = 0
        self.finished = 0
        """Messages of passes that are surely over."""

    @property
    def begun(self) -> int:
        return self.published - sum(map(len, self.channel.pending))

    def present(self) -> list[Member]:
        return [member for member in self.members if member.subscriber.channel is not None]

    def step(self) -> None:
        action = self.random.choices(
            [self.publish, self.advance, self.join, self.leave, self.ping, self.drain], [4, 10, 3, 2, 3, 5]
        )[0]
        self.observe(action)

    def observe(self, action: Callable[[], None]) -> None:
        before = self.present()
        action()
        for member in before:
            if member.subscriber.channel is None:
                member.least, member.most = self.finished, self.begun

    def publish(self) -> None:
        numbers = range(self.published, self.published + self.random.randint(1, 4))
        self.channel.publish([Message(str(number)) for number in numbers])
        self.published = numbers.stop

    def advance(self) -> None:
        begun = self.begun
        done = self.channel.advance(PAST)
        # A slice finishes one pass at most: if it began one, everything before is over.
        self.finished = self.begun if done else begun if self.begun > begun else self.finished

    def join(self) -> None:
        if len(self.present()) > 12:
            return
        subscriber: Peer | FakeSubscriber
        if self.random.random() < 0.2:
            subscriber = StuckSubscriber() if self.random.random() < 0.5 else FakeSubscriber()
        else:
            subscriber = Peer(lambda: self.random.choice(self.moods))
        self.channel.add(subscriber)
        self.members.append(Member(subscriber, self.begun))
        if isinstance(subscriber, Peer):
            if self.random.random() < 0.9:
                subscriber.enter_fast_path()
            else:
                subscriber.ping()  # it owes the answer to its handshake

    def leave(self) -> None:
        if self.present():
            self.random.choice(self.present()).subscriber.leave()

    def peers(self) -> list[Peer]:
        return [member.subscriber for member in self.present() if isinstance(member.subscriber, Peer)]

    def ping(self) -> None:
        if self.peers():
            self.random.choice(self.peers()).ping()

    def drain(self) -> None:
        for peer in self.random.sample(self.peers(), k=len(self.peers()) // 2):
            if peer.dead:
                peer.leave()
            else:
                peer.drain()

    def finish(self) -> None:
        while self.channel.pending or self.finished < self.begun:
            self.observe(self.advance)
        for member in self.present():
            member.least = member.most = self.published

    def check(self) -> None:
        for member in self.members:
            heard, lost = member.heard(), member.subscriber.lost
            assert heard == sorted(set(heard)), "twice, or out of order"
            if not lost:
                assert heard == list(range(member.first, member.first + len(heard))), "a gap"
            if isinstance(member.subscriber, Peer):
                assert member.subscriber.wrongs == []
                if member.subscriber.dead:
                    continue
            end = member.first + len(heard) + lost
            assert max(member.least, member.first) <= end <= max(member.most, member.first), "too little, or too much"
        handed = [
            member.subscriber.handed if isinstance(member.subscriber, Peer) else len(member.subscriber.messages)
            for member in self.members
        ]
        owed = sum(member.subscriber.owed for member in self.members if isinstance(member.subscriber, Peer))
        assert self.channel.delivered + owed == sum(handed)
        assert self.channel.lost == sum(member.subscriber.lost for member in self.members)
        assert self.channel.messages == self.published
        assert self.channel.count == len(self.present()) == len(list(self.channel))
        assert set(self.channel) == {member.subscriber for member in self.present()}


WEATHER = {
    "fair": ["all"],
    "slow": ["all", "part", "full"],
    "stormy": ["all", "all", "part", "full", "reset", "closed"],
}


@pytest.mark.parametrize("policy", ["unbounded", "close", "drop"])
@pytest.mark.parametrize("weather", WEATHER)
def test_all_hear_everything_once_in_order_whatever_happens(
    weather: str, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = {} if policy == "unbounded" else {"SUBSCRIBER_BUFFER": 30, "SLOW_SUBSCRIBERS": policy}
    with override_settings(EVENTCAST=conf):
        for seed in range(60):
            chance = random.Random(seed)
            monkeypatch.setattr(fanout, "STRIDE", chance.randint(1, 4))
            monkeypatch.setattr(fanout, "SLOW_PATH_STRIDE", chance.randint(1, 3))
            monkeypatch.setattr(fanout, "JOIN_LIMIT", chance.choice([1, 10, 1000]))
            world = World(seed, WEATHER[weather])
            for _ in range(chance.randint(10, 250)):
                world.step()
            world.finish()
            try:
                world.check()
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}") from error
