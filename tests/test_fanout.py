from __future__ import annotations

import errno
import random
import time
import weakref
from collections.abc import Callable

import pytest
from django.test import override_settings

from eventcast.engine import fanout
from eventcast.engine.fanout import LocalChannel
from eventcast.engine.messages import Batch, Message
from eventcast.engine.subscribers import Subscriber, Transport
from tests.fakes import FailingTransport, FakeTransport, StuckTransport, frames_in

PAST = 0.0
"""A deadline that makes each slice as short as it can be."""
PING = b"\x89\x00"


def never() -> float:
    return time.monotonic() + 60


class Peer(Transport):
    """A socket, and behind it a buffer as Twisted keeps one: what must never happen to them is noted in ``wrongs``.

    ``mood`` says what becomes of a write: it is taken whole (``all``) or in part (``part``), the socket is full
    (``full``), the connection was reset (``reset``), or Twisted has closed the socket already (``closed``).
    """

    name = "peer"

    def __init__(self, mood: Callable[[], str] = lambda: "all") -> None:
        self.mood = mood
        self.received = bytearray()
        self.kept = bytearray()
        self.handed = 0
        self.writes = 0
        self.dead = False
        self.wrongs: list[str] = []
        self.subscriber: Subscriber | None = None
        self.send = self._send

    @property
    def pending(self) -> int:  # type: ignore[override]
        return len(self.kept)

    def open(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        subscriber.straighten()

    def _send(self, data: bytes) -> int:
        self._note("send")
        if self.kept:
            self.wrongs.append("a frame has overtaken what was pending")
        self.handed += len(list(frames_in(data)))
        self.writes += 1
        mood = "closed" if self.dead else self.mood()
        if mood == "full":
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        if mood == "reset":
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        if mood == "closed":
            self.dead = True
            raise OSError(errno.EBADF, "Bad file descriptor")
        taken = len(data) if mood == "all" else len(data) // 2
        self.received += data[:taken]
        return taken

    def write_rest(self, data: bytes, taken: int) -> None:
        self._note("write_rest")
        self._keep(data[taken:])

    def write(self, batch: Batch) -> bool:
        self._note("write")
        self.handed += len(batch)
        self._keep(batch.frames)
        return True

    def close(self, code: int, reason: str) -> None:
        self.closed = True

    def ping(self) -> None:
        """The protocol writes something of its own."""
        self._keep(PING)

    def drain(self) -> None:
        """The peer reads; what was pending has left."""
        self.received += self.kept
        self.kept.clear()
        if self.subscriber is not None:
            self.subscriber.straighten()

    def _keep(self, data: bytes) -> None:
        if self.dead:
            return
        self.kept += data
        if self.subscriber is not None:
            self.subscriber.hold()

    def _note(self, call: str) -> None:
        if self.subscriber is None or self.subscriber.channel is None or self.closed:
            self.wrongs.append(f"{call} after it left")

    def heard(self) -> list[int]:
        """The numbers of the messages it got or will get; fails if a frame is broken."""
        return [int(payload) for opcode, payload in frames_in(self.received + self.kept) if opcode == 1]


def join(channel: LocalChannel, transport: Transport | None = None) -> Peer:
    peer = transport or Peer()
    subscriber = Subscriber(peer)
    channel.add(subscriber)
    peer.open(subscriber)
    return peer  # type: ignore[return-value]


def publish(channel: LocalChannel, *numbers: int) -> None:
    channel.publish([Message(str(number)) for number in numbers])


@pytest.fixture
def channel() -> LocalChannel:
    return LocalChannel("/a")


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a deadline in the past, each slice writes to one subscriber; each pass takes one message."""
    monkeypatch.setattr(fanout, "STRIDE", 1)
    monkeypatch.setattr(fanout, "BUFFERED_STRIDE", 1)
    monkeypatch.setattr(fanout, "JOIN_LIMIT", 1)


# --- who is there -----------------------------------------------------------------------------------------------------


def test_add_counts_subscriber(channel: LocalChannel) -> None:
    join(channel)
    assert channel.count == 1


def test_discard_forgets_straight_subscriber(channel: LocalChannel) -> None:
    channel.discard(join(channel).subscriber)
    assert (channel.count, list(channel)) == (0, [])


def test_discard_forgets_buffered_subscriber(channel: LocalChannel) -> None:
    subscriber = Subscriber(FakeTransport())
    channel.add(subscriber)
    channel.discard(subscriber)
    assert (channel.count, list(channel)) == (0, [])


def test_discard_ignores_subscriber_of_another_channel(channel: LocalChannel) -> None:
    peer = join(channel)
    LocalChannel("/b").discard(peer.subscriber)
    assert channel.count == 1


def test_iteration_gives_straight_and_buffered(channel: LocalChannel) -> None:
    straight, buffered = join(channel).subscriber, Subscriber(FakeTransport())
    channel.add(buffered)
    assert list(channel) == [straight, buffered]


def test_iteration_survives_who_leaves_meanwhile(channel: LocalChannel) -> None:
    for _ in range(3):
        join(channel)
        channel.add(Subscriber(FakeTransport()))
    for subscriber in channel:
        subscriber.leave()
    assert channel.count == 0


def test_straighten_needs_a_transport_with_send(channel: LocalChannel) -> None:
    subscriber = Subscriber(FakeTransport())
    channel.add(subscriber)
    subscriber.straighten()
    assert subscriber.position == -1


@pytest.mark.parametrize("method", ["straighten", "hold"])
def test_moving_subscriber_of_another_channel_does_nothing(channel: LocalChannel, method: str) -> None:
    peer = join(channel)
    getattr(LocalChannel("/b"), method)(peer.subscriber)
    assert peer.subscriber.position == 0


@pytest.mark.parametrize("leaving", [0, 1, 2])
def test_discard_keeps_everybody_elses_place(channel: LocalChannel, leaving: int) -> None:
    peers = [join(channel) for _ in range(3)]
    peers.pop(leaving).subscriber.leave()
    publish(channel, 1)
    channel.advance(never())
    assert [peer.heard() for peer in peers] == [[1], [1]]


# --- what is written --------------------------------------------------------------------------------------------------


def test_advance_with_nothing_to_write_is_done(channel: LocalChannel) -> None:
    assert channel.advance(never())


def test_advance_writes_to_everybody(channel: LocalChannel) -> None:
    peers = [join(channel) for _ in range(fanout.STRIDE * 2 + 3)]
    publish(channel, 1)
    assert channel.advance(never())
    assert all(peer.heard() == [1] for peer in peers)


def test_advance_joins_what_is_pending_in_one_write(channel: LocalChannel) -> None:
    peer = join(channel)
    publish(channel, 1, 2)
    publish(channel, 3)
    channel.advance(never())
    assert (peer.writes, peer.heard()) == (1, [1, 2, 3])


def test_advance_joins_up_to_the_limit(channel: LocalChannel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "JOIN_LIMIT", 6)  # two frames of three bytes
    peer = join(channel)
    publish(channel, 1, 2, 3)
    channel.advance(never())
    assert (peer.writes, peer.heard()) == (2, [1, 2, 3])


def test_advance_writes_message_over_the_join_limit_alone(
    channel: LocalChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "JOIN_LIMIT", 6)
    peer = join(channel)
    publish(channel, 1, 11111111, 2)
    channel.advance(never())
    assert (peer.writes, peer.heard()) == (3, [1, 11111111, 2])


@pytest.mark.usefixtures("one_by_one")
def test_advance_stops_at_the_deadline_after_one_stride(channel: LocalChannel) -> None:
    peers = [join(channel) for _ in range(3)]
    publish(channel, 1)
    assert not channel.advance(PAST)
    assert [peer.writes for peer in peers] == [1, 0, 0]


@pytest.mark.usefixtures("one_by_one")
def test_advance_stops_at_the_deadline_among_the_buffered(channel: LocalChannel) -> None:
    transports = [FakeTransport() for _ in range(3)]
    for transport in transports:
        channel.add(Subscriber(transport))
    publish(channel, 1)
    assert not channel.advance(PAST)
    assert [len(transport.messages) for transport in transports] == [1, 0, 0]


@pytest.mark.usefixtures("one_by_one")
def test_advance_stops_at_the_deadline_between_two_passes(channel: LocalChannel) -> None:
    peer = join(channel)
    publish(channel, 1, 2)
    assert not channel.advance(PAST)
    assert peer.heard() == [1]


@pytest.mark.usefixtures("one_by_one")
def test_advance_is_done_with_the_last_stride_though_late(channel: LocalChannel) -> None:
    join(channel)
    channel.add(Subscriber(FakeTransport()))
    publish(channel, 1)
    assert channel.advance(PAST)


@pytest.mark.parametrize("mood", ["part", "full", "reset"])
def test_advance_leaves_the_rest_to_the_transport(channel: LocalChannel, mood: str) -> None:
    peer = join(channel, Peer(lambda: mood))
    publish(channel, 1)
    channel.advance(never())
    assert peer.heard() == [1]
    assert peer.subscriber.position == -1


@pytest.mark.parametrize("mood", ["part", "full", "reset", "closed"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_advance_writes_once_to_everybody_around_a_bad_socket(channel: LocalChannel, mood: str, place: int) -> None:
    peers = [join(channel, Peer((lambda: mood) if number == place else lambda: "all")) for number in range(3)]
    publish(channel, 1)
    channel.advance(never())
    assert [peer.heard() for number, peer in enumerate(peers) if number != place] == [[1], [1]]


def test_advance_survives_all_sockets_failing_at_once(channel: LocalChannel) -> None:
    peers = [join(channel, Peer(lambda: "full")) for _ in range(fanout.STRIDE + 5)]
    publish(channel, 1)
    assert channel.advance(never())
    assert all(peer.heard() == [1] for peer in peers)


def test_advance_writes_nothing_straight_while_something_is_pending(channel: LocalChannel) -> None:
    peer = join(channel, Peer(lambda: "part"))
    for number in (1, 2):
        publish(channel, number)
        channel.advance(never())
    assert (peer.writes, peer.wrongs, peer.heard()) == (1, [], [1, 2])


def test_advance_writes_straight_again_when_the_peer_has_read(channel: LocalChannel) -> None:
    peer = join(channel, Peer(lambda: "part"))
    for number in (1, 2):
        publish(channel, number)
        channel.advance(never())
        peer.drain()
    assert (peer.writes, peer.heard()) == (2, [1, 2])


def test_failing_transport_stops_nobody_else(channel: LocalChannel, caplog: pytest.LogCaptureFixture) -> None:
    first, last = FakeTransport(), FakeTransport()
    for transport in (first, FailingTransport(), last):
        channel.add(Subscriber(transport))
    publish(channel, 1)
    assert channel.advance(never())
    assert (first.data, last.data) == (["1"], ["1"])
    assert "Delivering to" in caplog.text


@pytest.mark.usefixtures("caplog")
def test_failing_transport_is_left_out(channel: LocalChannel) -> None:
    channel.add(Subscriber(FailingTransport()))
    publish(channel, 1)
    channel.advance(never())
    assert channel.count == 0


class Bug(Peer):
    def write_rest(self, data: bytes, taken: int) -> None:
        raise RuntimeError("a bug")


def test_failing_straight_transport_stops_nobody_else(channel: LocalChannel, caplog: pytest.LogCaptureFixture) -> None:
    first, bug, last = join(channel), join(channel, Bug(lambda: "part")), join(channel)
    publish(channel, 1)
    assert channel.advance(never())
    assert (first.heard(), last.heard(), bug.subscriber.channel) == ([1], [1], None)
    assert "Delivering to" in caplog.text


# --- between two slices -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_by_one")
def test_subscriber_that_left_between_slices_hears_nothing_more(channel: LocalChannel) -> None:
    peers = [join(channel) for _ in range(3)]
    publish(channel, 1)
    channel.advance(PAST)
    peers[2].subscriber.leave()
    channel.advance(never())
    assert [peer.heard() for peer in peers] == [[1], [1], []]


@pytest.mark.usefixtures("one_by_one")
def test_subscriber_that_left_between_slices_is_no_delivery(channel: LocalChannel) -> None:
    peers = [join(channel) for _ in range(3)]
    publish(channel, 1)
    channel.advance(PAST)
    peers[2].subscriber.leave()
    channel.advance(never())
    assert channel.delivered == 2


@pytest.mark.usefixtures("one_by_one")
def test_subscriber_held_before_its_turn_hears_once(channel: LocalChannel) -> None:
    peers = [join(channel) for _ in range(3)]
    publish(channel, 1)
    channel.advance(PAST)
    peers[2].ping()
    channel.advance(never())
    assert (peers[2].heard(), peers[2].wrongs) == ([1], [])


@pytest.mark.usefixtures("one_by_one")
def test_subscriber_held_after_its_turn_hears_once(channel: LocalChannel) -> None:
    peers = [join(channel) for _ in range(3)]
    publish(channel, 1)
    channel.advance(PAST)
    peers[0].ping()
    channel.advance(never())
    assert peers[0].heard() == [1]


@pytest.mark.usefixtures("one_by_one")
def test_subscriber_held_and_straightened_before_its_turn_hears_once(channel: LocalChannel) -> None:
    peers = [join(channel) for _ in range(3)]
    publish(channel, 1)
    channel.advance(PAST)
    peers[2].ping()
    peers[2].drain()
    channel.advance(never())
    assert peers[2].heard() == [1]


@pytest.mark.usefixtures("one_by_one")
def test_subscriber_that_came_between_slices_hears_from_the_next_pass_on(channel: LocalChannel) -> None:
    [join(channel) for _ in range(3)]
    publish(channel, 1)
    channel.advance(PAST)
    late = join(channel)
    publish(channel, 2)
    channel.advance(never())
    assert late.heard() == [2]


@pytest.mark.usefixtures("one_by_one")
def test_gaps_are_closed_when_the_pass_is_over(channel: LocalChannel) -> None:
    peers = [join(channel) for _ in range(6)]
    publish(channel, 1)
    channel.advance(PAST)
    for place in (5, 0, 3):
        peers[place].subscriber.leave()
    channel.advance(never())
    assert sorted(peer.subscriber.position for peer in peers if peer.subscriber.channel) == [0, 1, 2]
    assert len(channel._straight) == len(channel._sends) == 3


def test_finished_pass_holds_on_to_nobody(channel: LocalChannel) -> None:
    subscriber = Subscriber(FakeTransport())
    channel.add(subscriber)
    publish(channel, 1)
    channel.advance(never())
    finalizer = weakref.finalize(subscriber.transport, lambda: None)
    subscriber.leave()
    del subscriber
    assert not finalizer.alive


# --- figures ----------------------------------------------------------------------------------------------------------


def test_messages_counts_what_was_published(channel: LocalChannel) -> None:
    publish(channel, 1, 2)
    assert channel.messages == 2


def test_delivered_counts_messages_times_subscribers(channel: LocalChannel) -> None:
    join(channel)
    channel.add(Subscriber(FakeTransport()))
    publish(channel, 1, 2)
    channel.advance(never())
    assert channel.delivered == 4


def test_backlog_is_the_bytes_that_wait(channel: LocalChannel) -> None:
    publish(channel, 10, 20)
    before = channel.backlog
    channel.advance(never())
    assert (before, channel.backlog) == (4, 0)


@pytest.fixture
def short_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "BACKLOG_LIMIT", 4)


@pytest.mark.usefixtures("short_backlog")
def test_backlog_past_its_limit_is_lost_for_everybody(channel: LocalChannel) -> None:
    peers = [join(channel) for _ in range(3)]
    publish(channel, 10, 20, 30)
    channel.advance(never())
    assert channel.lost == 3
    assert [peer.heard() for peer in peers] == [[10, 20]] * 3


@pytest.mark.usefixtures("short_backlog")
def test_backlog_takes_any_message_when_nothing_waits(channel: LocalChannel) -> None:
    peer = join(channel)
    publish(channel, 1234567)
    channel.advance(never())
    assert peer.heard() == [1234567]


@pytest.mark.usefixtures("short_backlog")
def test_backlog_lost_is_logged_once_a_burst_with_the_count(
    channel: LocalChannel, caplog: pytest.LogCaptureFixture
) -> None:
    publish(channel, 10, 20, 30, 40, 50)
    channel.advance(never())
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "lost 3 messages" in caplog.text


# --- a model of it all ------------------------------------------------------------------------------------------------


class Member:
    """What the model knows of a subscriber."""

    def __init__(self, transport: Peer | FakeTransport, subscriber: Subscriber, first: int) -> None:
        self.transport, self.subscriber = transport, subscriber
        self.first = first
        """The first message it must hear: what no pass had begun with when it came."""
        self.least = self.most = first
        """Up to here it must have heard, and may have; known once it has left."""

    def heard(self) -> list[int]:
        if isinstance(self.transport, Peer):
            return self.transport.heard()
        return [int(message.data) for message in self.transport.messages]


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
        return self.published - len(self.channel.pending)

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
        publish(self.channel, *numbers)
        self.published = numbers.stop

    def advance(self) -> None:
        begun = self.begun
        done = self.channel.advance(PAST)
        # A slice finishes one pass at most: if it began one, everything before is over.
        self.finished = self.begun if done else begun if self.begun > begun else self.finished

    def join(self) -> None:
        if len(self.present()) > 12:
            return
        transport: Peer | FakeTransport
        if self.random.random() < 0.2:
            transport = StuckTransport() if self.random.random() < 0.5 else FakeTransport()
        else:
            transport = Peer(lambda: self.random.choice(self.moods))
        subscriber = Subscriber(transport)
        self.channel.add(subscriber)
        self.members.append(Member(transport, subscriber, self.begun))
        if self.random.random() < 0.9 or not isinstance(transport, Peer):
            transport.open(subscriber)
        else:
            transport.subscriber = subscriber  # its handshake's answer is still in the buffer
            transport.ping()

    def leave(self) -> None:
        if self.present():
            self.random.choice(self.present()).subscriber.leave()

    def peers(self) -> list[Peer]:
        return [member.transport for member in self.present() if isinstance(member.transport, Peer)]

    def ping(self) -> None:
        if self.peers():
            self.random.choice(self.peers()).ping()

    def drain(self) -> None:
        for transport in self.random.sample(self.peers(), k=len(self.peers()) // 2):
            if transport.dead:
                transport.subscriber.leave()
            else:
                transport.drain()

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
            if isinstance(member.transport, Peer):
                assert member.transport.wrongs == []
                if member.transport.dead:
                    continue
            end = member.first + len(heard) + lost
            assert max(member.least, member.first) <= end <= max(member.most, member.first), "too little, or too much"
        handed = [
            member.transport.handed if isinstance(member.transport, Peer) else len(member.transport.messages)
            for member in self.members
        ]
        assert self.channel.delivered == sum(handed)
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
def test_everybody_hears_everything_once_in_order_whatever_happens(
    weather: str, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = {} if policy == "unbounded" else {"SUBSCRIBER_BUFFER": 30, "SLOW_SUBSCRIBERS": policy}
    with override_settings(EVENTCAST=conf):
        for seed in range(60):
            chance = random.Random(seed)
            monkeypatch.setattr(fanout, "STRIDE", chance.randint(1, 4))
            monkeypatch.setattr(fanout, "BUFFERED_STRIDE", chance.randint(1, 3))
            monkeypatch.setattr(fanout, "JOIN_LIMIT", chance.choice([1, 10, 1000]))
            world = World(seed, WEATHER[weather])
            for _ in range(chance.randint(10, 250)):
                world.step()
            world.finish()
            try:
                world.check()
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}") from error
