from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from eventcast.engine.fanout import LocalChannel
from eventcast.engine.messages import Batch, Message
from eventcast.engine.subscribers import Subscriber, Transport
from tests.fakes import FakeTransport, StuckTransport

CLOSE, DROP = {"SUBSCRIBER_BUFFER": 100}, {"SUBSCRIBER_BUFFER": 100, "SLOW_SUBSCRIBERS": "drop"}


def batch(*sizes: int) -> Batch:
    """A batch of messages whose frames have these sizes."""
    return Batch([Message("x" * (size - 2)) for size in sizes])


def subscribed(transport: FakeTransport) -> Subscriber:
    subscriber = Subscriber(transport, peer="192.0.2.1:5")
    LocalChannel("/a").add(subscriber)
    return subscriber


# --- within the bound -------------------------------------------------------------------------------------------------


def test_deliver_hands_the_batch_to_the_transport() -> None:
    transport = FakeTransport()
    assert subscribed(transport).deliver(batch(10, 10)) == 2
    assert len(transport.messages) == 2


@override_settings(EVENTCAST=CLOSE)
def test_deliver_fills_the_buffer_to_the_last_byte() -> None:
    transport = StuckTransport(pending=60)
    assert subscribed(transport).deliver(batch(20, 20)) == 2
    assert transport.pending == 100


@override_settings(EVENTCAST=CLOSE)
def test_deliver_ignores_the_bound_when_nothing_is_owed() -> None:
    transport = StuckTransport()
    assert subscribed(transport).deliver(batch(120)) == 1
    assert not transport.closed


# --- past it: close ---------------------------------------------------------------------------------------------------


@override_settings(EVENTCAST=CLOSE)
def test_deliver_closes_with_1013_past_the_bound() -> None:
    transport = StuckTransport(pending=60)
    assert subscribed(transport).deliver(batch(20, 21)) == 0
    assert transport.close_code == 1013


@override_settings(EVENTCAST=CLOSE)
def test_deliver_writes_nothing_when_it_closes() -> None:
    transport = StuckTransport(pending=60)
    subscribed(transport).deliver(batch(20, 21))
    assert transport.messages == []


@override_settings(EVENTCAST=CLOSE)
def test_closed_subscriber_is_counted_out() -> None:
    subscriber = subscribed(StuckTransport(pending=100))
    channel = subscriber.channel
    assert channel is not None
    subscriber.deliver(batch(10))
    assert (channel.count, subscriber.channel) == (0, None)


@pytest.mark.parametrize("policy", [CLOSE, DROP])
def test_deliver_counts_what_is_lost(policy: dict[str, Any]) -> None:
    subscriber = subscribed(StuckTransport(pending=100))
    channel = subscriber.channel
    assert channel is not None
    with override_settings(EVENTCAST=policy):
        subscriber.deliver(batch(10, 10, 10))
    assert (subscriber.lost, channel.lost) == (3, 3)


def test_deliver_survives_overflow_without_a_channel() -> None:
    subscriber = Subscriber(StuckTransport(pending=100))
    with override_settings(EVENTCAST=CLOSE):
        assert subscriber.deliver(batch(10)) == 0


# --- past it: drop ----------------------------------------------------------------------------------------------------


@override_settings(EVENTCAST=DROP)
def test_deliver_drops_whole_messages_that_have_no_room() -> None:
    transport = StuckTransport(pending=60)
    assert subscribed(transport).deliver(batch(30, 20, 10)) == 2
    assert [len(message.frame) for message in transport.messages] == [30, 10]


@override_settings(EVENTCAST=DROP)
def test_deliver_never_exceeds_the_bound_when_it_drops() -> None:
    transport = StuckTransport(pending=1)
    subscribed(transport).deliver(batch(*[9] * 20))
    assert transport.pending <= 100


@override_settings(EVENTCAST=DROP)
def test_dropping_subscriber_stays() -> None:
    transport = StuckTransport(pending=100)
    subscriber = subscribed(transport)
    subscriber.deliver(batch(10))
    assert subscriber.channel is not None
    assert not transport.closed


@override_settings(EVENTCAST=DROP)
def test_dropping_subscriber_hears_again_when_there_is_room() -> None:
    transport = StuckTransport(pending=100)
    subscriber = subscribed(transport)
    subscriber.deliver(batch(10))
    transport.pending = 0
    assert subscriber.deliver(batch(10)) == 1


@override_settings(EVENTCAST=DROP)
def test_burst_of_losses_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    subscriber = subscribed(StuckTransport(pending=100))
    for _ in range(5):
        subscriber.deliver(batch(10))
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@override_settings(EVENTCAST=DROP)
def test_burst_of_losses_stays_one_line_while_room_comes_and_goes(caplog: pytest.LogCaptureFixture) -> None:
    transport = StuckTransport(pending=100)
    subscriber = subscribed(transport)
    for _ in range(5):
        subscriber.deliver(batch(10))
        transport.pending = 90  # the peer reads a little
        subscriber.deliver(batch(10))
    assert len(caplog.records) == 1


@override_settings(EVENTCAST=DROP)
def test_next_burst_of_losses_is_logged_again_after_the_peer_caught_up(caplog: pytest.LogCaptureFixture) -> None:
    transport = StuckTransport(pending=100)
    subscriber = subscribed(transport)
    for _ in range(2):
        subscriber.deliver(batch(10))
        transport.pending = 0
        subscriber.deliver(batch(10))
        transport.pending = 100
    assert len(caplog.records) == 2


@override_settings(EVENTCAST=CLOSE)
def test_log_names_channel_and_peer_of_a_slow_subscriber(caplog: pytest.LogCaptureFixture) -> None:
    subscribed(StuckTransport(pending=100)).deliver(batch(10))
    assert "/a" in caplog.text
    assert "192.0.2.1:5" in caplog.text


# --- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["straighten", "hold", "leave"])
def test_subscriber_without_a_channel_ignores_its_transport(method: str) -> None:
    subscriber = Subscriber(FakeTransport())
    getattr(subscriber, method)()
    assert subscriber.channel is None


def test_leave_twice_counts_once() -> None:
    subscriber = subscribed(FakeTransport())
    channel = subscriber.channel
    assert channel is not None
    subscriber.leave()
    subscriber.leave()
    assert channel.count == 0


def test_repr_names_channel_peer_and_transport() -> None:
    assert repr(subscribed(FakeTransport())) == "<Subscriber 192.0.2.1:5 of '/a' by fake>"


def test_repr_of_a_subscriber_that_left_names_no_channel() -> None:
    assert repr(Subscriber(FakeTransport())) == "<Subscriber ? of None by fake>"


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("open", [None]), ("write", [None]), ("write_rest", [b"", 0]), ("close", [1000, ""]), ("release", [])],
)
def test_transport_leaves_every_method_to_subclasses(method: str, arguments: list[Any]) -> None:
    with pytest.raises(NotImplementedError):
        getattr(Transport(), method)(*arguments)
