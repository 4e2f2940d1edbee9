"""What may happen between two slices of a pass, and what is counted."""

from __future__ import annotations

import weakref

import pytest
from django.test import override_settings

from eventcast.engine import fanout, subscribers
from eventcast.engine.fanout import LocalChannel
from tests.fakes import FakeSubscriber
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


# --- between two slices -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_by_one")
def test_subscriber_that_left_between_slices_hears_nothing_more(channel: LocalChannel) -> None:
    peers = [join(channel) for _ in range(3)]
    publish(channel, 1)
    channel.advance(PAST)
    peers[2].leave()
    channel.advance(never())
    assert [peer.heard() for peer in peers] == [[1], [1], []]


@pytest.mark.usefixtures("one_by_one")
def test_subscriber_that_left_between_slices_is_no_delivery(channel: LocalChannel) -> None:
    peers = [join(channel) for _ in range(3)]
    publish(channel, 1)
    channel.advance(PAST)
    peers[2].leave()
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
def test_subscriber_held_and_ready_before_its_turn_hears_once(channel: LocalChannel) -> None:
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
        peers[place].leave()
    channel.advance(never())
    assert sorted(peer.position for peer in peers if peer.channel) == [0, 1, 2]
    assert [len(path.subscribers) for path in channel._fast_paths.values()] == [3]


def test_finished_pass_holds_on_to_no_subscriber(channel: LocalChannel) -> None:
    subscriber = FakeSubscriber()
    channel.add(subscriber)
    publish(channel, 1)
    channel.advance(never())
    finalizer = weakref.finalize(subscriber, lambda: None)
    subscriber.leave()
    del subscriber
    assert not finalizer.alive


# --- figures ----------------------------------------------------------------------------------------------------------


def test_messages_counts_what_was_published(channel: LocalChannel) -> None:
    publish(channel, 1, 2)
    assert channel.messages == 2


def test_delivered_counts_messages_times_subscribers(channel: LocalChannel) -> None:
    join(channel)
    channel.add(FakeSubscriber())
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
def test_backlog_past_its_limit_is_lost_for_all(channel: LocalChannel) -> None:
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
def test_backlog_lost_is_logged_once_a_burst(channel: LocalChannel, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        publish(channel, 10, 20, 30, 40, 50)
        channel.advance(never())
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


# --- whether publishers have to wait ----------------------------------------------------------------------------------


def test_channel_is_not_crowded_when_nothing_waits(channel: LocalChannel) -> None:
    join(channel)
    assert not channel.crowded


@pytest.mark.usefixtures("short_backlog")
def test_channel_is_crowded_until_its_backlog_is_half_empty(channel: LocalChannel) -> None:
    publish(channel, 10)
    at_half = channel.crowded
    publish(channel, 2)
    over_half = channel.crowded
    channel.advance(never())
    assert (at_half, over_half, channel.crowded) == (False, True, False)


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 8})
def test_channel_is_crowded_until_a_subscriber_has_caught_up(channel: LocalChannel) -> None:
    peer = join(channel, Peer(lambda: "full"))
    publish(channel, 1234)
    channel.advance(never())
    before = channel.crowded
    peer.drain()
    assert (before, channel.crowded) == (True, False)


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 8})
def test_subscriber_that_never_reads_holds_publishers_up_only_once(
    channel: LocalChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 0.0)
    join(channel, Peer(lambda: "full"))
    publish(channel, 1234)
    channel.advance(never())
    publish(channel, 1)
    channel.advance(never())
    assert not channel.crowded


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 8})
def test_channel_is_not_crowded_by_a_subscriber_that_left(channel: LocalChannel) -> None:
    peer = join(channel, Peer(lambda: "full"))
    publish(channel, 1234)
    channel.advance(never())
    peer.leave()
    assert not channel.crowded
