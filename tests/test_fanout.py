from __future__ import annotations

import pytest

from eventcast.engine import fanout
from eventcast.engine.encoders import LINES, Batch
from eventcast.engine.fanout import LocalChannel
from eventcast.engine.messages import Message
from tests.fakes import FailingSubscriber, FakeSubscriber
from tests.fast_path_peers import PAST, Peer, join, never, publish


@pytest.fixture
def channel() -> LocalChannel:
    return LocalChannel("/a")


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a deadline in the past, each slice writes to one subscriber; each pass takes one message."""
    monkeypatch.setattr(fanout, "STRIDE", 1)
    monkeypatch.setattr(fanout, "SLOW_PATH_STRIDE", 1)
    monkeypatch.setattr(fanout, "JOIN_LIMIT", 1)


# --- subscribers ----------------------------------------------------------------------------------------------------


def test_add_counts_subscriber(channel: LocalChannel) -> None:
    join(channel)
    assert channel.count == 1


def test_discard_forgets_subscriber_on_the_fast_path(channel: LocalChannel) -> None:
    channel.discard(join(channel))
    assert (channel.count, list(channel)) == (0, [])


def test_discard_forgets_waiting_subscriber(channel: LocalChannel) -> None:
    subscriber = FakeSubscriber()
    channel.add(subscriber)
    channel.discard(subscriber)
    assert (channel.count, list(channel)) == (0, [])


def test_discard_ignores_subscriber_of_another_channel(channel: LocalChannel) -> None:
    peer = join(channel)
    LocalChannel("/b").discard(peer)
    assert channel.count == 1


def test_iteration_gives_both_paths(channel: LocalChannel) -> None:
    fast, slow = join(channel), FakeSubscriber()
    channel.add(slow)
    assert list(channel) == [fast, slow]


def test_iteration_survives_subscribers_that_leave_meanwhile(channel: LocalChannel) -> None:
    for _ in range(3):
        join(channel)
        channel.add(FakeSubscriber())
    for subscriber in channel:
        subscriber.leave()
    assert channel.count == 0


def test_fast_path_needs_a_subscriber_with_send(channel: LocalChannel) -> None:
    subscriber = FakeSubscriber()
    channel.add(subscriber)
    subscriber.enter_fast_path()
    assert subscriber.position == -1


@pytest.mark.parametrize("method", ["enter_fast_path", "leave_fast_path"])
def test_moving_subscriber_of_another_channel_does_nothing(channel: LocalChannel, method: str) -> None:
    peer = join(channel)
    getattr(LocalChannel("/b"), method)(peer)
    assert peer.position == 0


@pytest.mark.parametrize("leaving", [0, 1, 2])
def test_discard_keeps_everybody_elses_place(channel: LocalChannel, leaving: int) -> None:
    peers = [join(channel) for _ in range(3)]
    peers.pop(leaving).leave()
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
    monkeypatch.setattr(fanout, "JOIN_LIMIT", 2)
    peer = join(channel)
    publish(channel, 1, 2, 3)
    channel.advance(never())
    assert (peer.writes, peer.heard()) == (2, [1, 2, 3])


def test_advance_joins_nothing_to_a_message_over_the_limit(
    channel: LocalChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "JOIN_LIMIT", 6)
    peer = join(channel)
    publish(channel, 11111111, 1, 2)
    channel.advance(never())
    assert (peer.writes, peer.heard()) == (2, [11111111, 1, 2])


def test_advance_never_splits_what_was_published_at_once(
    channel: LocalChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "JOIN_LIMIT", 2)
    peer = join(channel)
    channel.publish([Message(str(number)) for number in range(10)])
    channel.advance(never())
    assert (peer.writes, peer.heard()) == (1, list(range(10)))


def test_each_encoder_has_a_fast_path_of_its_own(channel: LocalChannel) -> None:
    class LinePeer(Peer):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = LINES

        def _send(self, data: bytes) -> int:
            self.received += data
            return len(data)

    in_frames, in_lines = join(channel), join(channel, LinePeer())
    publish(channel, 1)
    channel.advance(never())
    assert in_frames.heard() == [1]
    assert b'"data":"1"' in in_lines.received


@pytest.mark.parametrize("size", [1, 3 * fanout.STRIDE_BYTES])
def test_advance_writes_less_often_between_two_looks_at_the_clock_what_is_large(
    channel: LocalChannel, size: int
) -> None:
    peers = [join(channel) for _ in range(fanout.STRIDE + 1)]
    channel.publish([Message("1" * size)])
    assert not channel.advance(PAST)
    assert sum(peer.writes for peer in peers) == (fanout.STRIDE if size == 1 else 1)


@pytest.mark.usefixtures("one_by_one")
def test_advance_stops_at_the_deadline_after_one_stride(channel: LocalChannel) -> None:
    peers = [join(channel) for _ in range(3)]
    publish(channel, 1)
    assert not channel.advance(PAST)
    assert [peer.writes for peer in peers] == [1, 0, 0]


@pytest.mark.usefixtures("one_by_one")
def test_advance_stops_at_the_deadline_among_those_that_wait(channel: LocalChannel) -> None:
    subscribers = [FakeSubscriber() for _ in range(3)]
    for subscriber in subscribers:
        channel.add(subscriber)
    publish(channel, 1)
    assert not channel.advance(PAST)
    assert [len(subscriber.messages) for subscriber in subscribers] == [1, 0, 0]


@pytest.mark.usefixtures("one_by_one")
def test_advance_stops_at_the_deadline_between_two_passes(channel: LocalChannel) -> None:
    peer = join(channel)
    publish(channel, 1, 2)
    assert not channel.advance(PAST)
    assert peer.heard() == [1]


@pytest.mark.usefixtures("one_by_one")
def test_advance_is_done_with_the_last_stride_though_late(channel: LocalChannel) -> None:
    join(channel)
    channel.add(FakeSubscriber())
    publish(channel, 1)
    assert channel.advance(PAST)


@pytest.mark.parametrize("mood", ["part", "full", "reset"])
def test_advance_leaves_the_rest_to_the_subscriber(channel: LocalChannel, mood: str) -> None:
    peer = join(channel, Peer(lambda: mood))
    publish(channel, 1)
    channel.advance(never())
    assert peer.heard() == [1]
    assert peer.position == -1


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


def test_advance_calls_no_send_while_something_is_pending(channel: LocalChannel) -> None:
    peer = join(channel, Peer(lambda: "part"))
    for number in (1, 2):
        publish(channel, number)
        channel.advance(never())
    assert (peer.writes, peer.wrongs, peer.heard()) == (1, [], [1, 2])


def test_advance_calls_send_again_when_the_client_has_read(channel: LocalChannel) -> None:
    peer = join(channel, Peer(lambda: "part"))
    for number in (1, 2):
        publish(channel, number)
        channel.advance(never())
        peer.drain()
    assert (peer.writes, peer.heard()) == (2, [1, 2])


def test_failing_subscriber_does_not_stop_others(channel: LocalChannel, caplog: pytest.LogCaptureFixture) -> None:
    first, last = FakeSubscriber(), FakeSubscriber()
    for subscriber in (first, FailingSubscriber(), last):
        channel.add(subscriber)
    publish(channel, 1)
    assert channel.advance(never())
    assert (first.data, last.data) == (["1"], ["1"])
    assert "Delivering to" in caplog.text


@pytest.mark.usefixtures("caplog")
def test_failing_subscriber_is_left_out(channel: LocalChannel) -> None:
    channel.add(FailingSubscriber())
    publish(channel, 1)
    channel.advance(never())
    assert channel.count == 0


class Bug(Peer):
    def write_rest(self, batch: Batch, taken: int) -> None:
        raise RuntimeError("a bug")


def test_subscriber_that_fails_to_keep_a_rest_does_not_stop_others(
    channel: LocalChannel, caplog: pytest.LogCaptureFixture
) -> None:
    first, bug, last = join(channel), join(channel, Bug(lambda: "part")), join(channel)
    publish(channel, 1)
    assert channel.advance(never())
    assert (first.heard(), last.heard(), bug.channel) == ([1], [1], None)
    assert "Delivering to" in caplog.text
