from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from eventcast.engine import subscribers
from eventcast.engine.closing import OPERATOR, TOO_SLOW
from eventcast.engine.encoders import Batch
from eventcast.engine.fanout import LocalChannel
from eventcast.engine.messages import Message
from eventcast.engine.subscribers import GRACE_PERIOD, Subscriber
from tests.fakes import FakeSubscriber, StuckSubscriber

CLOSE, DROP = {"SUBSCRIBER_BUFFER": 100}, {"SUBSCRIBER_BUFFER": 100, "SLOW_SUBSCRIBERS": "drop"}


def batch(*sizes: int) -> Batch:
    """A batch of messages whose frames have these sizes."""
    return Batch([Message("x" * (size - 2)) for size in sizes])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscriber past its bound has no time to catch up."""
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 0.0)


def stuck(pending: int = 0) -> StuckSubscriber:
    """A subscriber of a channel, with so many bytes pending."""
    subscriber = StuckSubscriber(pending, peer="192.0.2.1:5")
    LocalChannel("/a").add(subscriber)
    return subscriber


# --- within the bound -------------------------------------------------------------------------------------------------


def test_deliver_writes_the_batch() -> None:
    subscriber = FakeSubscriber()
    assert subscriber.deliver(batch(10, 10)) == 2
    assert len(subscriber.messages) == 2


@override_settings(EVENTCAST=CLOSE)
@pytest.mark.parametrize("pending", [0, 60, 100])
def test_deliver_takes_a_batch_of_any_size_while_the_bound_is_kept(pending: int) -> None:
    subscriber = stuck(pending)
    assert subscriber.deliver(batch(*[100] * 50)) == 50
    assert (subscriber.closed, subscriber.lost) == (False, 0)


@override_settings(EVENTCAST=CLOSE)
def test_deliver_past_the_bound_gives_a_subscriber_time_to_catch_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 3600.0)
    subscriber = stuck()
    assert [subscriber.deliver(batch(110)) for _ in range(3)] == [1, 1, 1]
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 0.0)
    assert subscriber.deliver(batch(110)) == 0


# --- past it: close ---------------------------------------------------------------------------------------------------


@override_settings(EVENTCAST=CLOSE)
def test_deliver_closes_with_1013_past_the_bound() -> None:
    subscriber = stuck(101)
    assert subscriber.deliver(batch(10)) == 0
    assert subscriber.close_code == TOO_SLOW.code == 1013


@override_settings(EVENTCAST=CLOSE)
def test_deliver_writes_nothing_when_it_closes() -> None:
    subscriber = stuck(101)
    subscriber.deliver(batch(10))
    assert subscriber.messages == []


@override_settings(EVENTCAST=CLOSE)
def test_closed_subscriber_is_counted_out() -> None:
    subscriber = stuck(101)
    channel = subscriber.channel
    assert channel is not None
    subscriber.deliver(batch(10))
    assert (channel.count, subscriber.channel) == (0, None)


@pytest.mark.parametrize("policy", [CLOSE, DROP])
def test_deliver_counts_what_is_lost_for_subscriber_and_channel(policy: dict[str, Any]) -> None:
    subscriber = stuck(101)
    channel = subscriber.channel
    assert channel is not None
    with override_settings(EVENTCAST=policy):
        subscriber.deliver(batch(10, 10, 10))
    assert (subscriber.lost, channel.lost) == (3, 3)


def test_deliver_survives_overflow_without_a_channel() -> None:
    with override_settings(EVENTCAST=CLOSE):
        assert StuckSubscriber(101).deliver(batch(10)) == 0


# --- past it: drop ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@override_settings(EVENTCAST=DROP)
def test_deliver_drops_whole_batches_until_there_is_room() -> None:
    subscriber = stuck(60)
    taken = [subscriber.deliver(batch(30, 20)), subscriber.deliver(batch(10, 10))]
    subscriber.read(left=100)
    taken.append(subscriber.deliver(batch(10)))
    assert taken == [2, 0, 1]
    assert [len(message.frame()) for message in subscriber.messages] == [30, 20, 10]


@override_settings(EVENTCAST=DROP)
def test_dropping_subscriber_stays() -> None:
    subscriber = stuck(101)
    subscriber.deliver(batch(10))
    assert subscriber.channel is not None
    assert not subscriber.closed


@override_settings(EVENTCAST=DROP)
def test_burst_of_losses_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    subscriber = stuck(101)
    for _ in range(5):
        subscriber.deliver(batch(10))
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.usefixtures("impatient")
@override_settings(EVENTCAST=DROP)
def test_burst_of_losses_stays_one_line_while_room_comes_and_goes(caplog: pytest.LogCaptureFixture) -> None:
    subscriber = stuck(90)
    for _ in range(5):
        subscriber.deliver(batch(20))
        subscriber.deliver(batch(20))
        subscriber.read(left=90)
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("impatient")
@override_settings(EVENTCAST=DROP)
def test_next_burst_of_losses_is_logged_again_after_the_client_caught_up(caplog: pytest.LogCaptureFixture) -> None:
    subscriber = stuck()
    for _ in range(2):
        subscriber.deliver(batch(120))
        subscriber.deliver(batch(10))
        subscriber.read()
    assert len(caplog.records) == 2


@override_settings(EVENTCAST=CLOSE)
def test_log_names_channel_and_peer_of_a_slow_subscriber(caplog: pytest.LogCaptureFixture) -> None:
    stuck(101).deliver(batch(10))
    assert "/a" in caplog.text
    assert "192.0.2.1:5" in caplog.text


# --- publishers that wait for it --------------------------------------------------------------------------------------


@override_settings(EVENTCAST=CLOSE)
def test_subscriber_is_behind_from_half_the_bound_on() -> None:
    subscriber = stuck()
    assert subscriber.channel is not None
    subscriber.deliver(batch(50))
    at_half = set(subscriber.channel.behind)
    subscriber.deliver(batch(2))
    assert (at_half, subscriber.channel.behind) == (set(), {subscriber})


@override_settings(EVENTCAST=CLOSE)
def test_subscriber_is_not_behind_when_it_has_read_down_to_half_the_bound() -> None:
    subscriber = stuck()
    assert subscriber.channel is not None
    subscriber.deliver(batch(100))
    subscriber.read(left=50)
    assert subscriber.channel.behind == set()


@override_settings(EVENTCAST=CLOSE)
def test_subscriber_that_left_is_not_behind() -> None:
    subscriber = stuck()
    channel = subscriber.channel
    assert channel is not None
    subscriber.deliver(batch(100))
    subscriber.leave()
    assert channel.behind == set()


@override_settings(EVENTCAST=CLOSE)
def test_subscriber_holds_publishers_up_for_a_limited_time() -> None:
    subscriber = stuck()
    subscriber.deliver(batch(100))
    since = subscriber._behind_since
    assert subscriber.delays_publishers(since + GRACE_PERIOD - 0.01)
    assert not subscriber.delays_publishers(since + GRACE_PERIOD)


# --- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["enter_fast_path", "leave_fast_path", "leave"])
def test_subscriber_without_a_channel_stays_without(method: str) -> None:
    subscriber = FakeSubscriber()
    getattr(subscriber, method)()
    assert subscriber.channel is None


def test_close_leaves_the_channel_and_acts_once() -> None:
    subscriber = stuck()
    channel = subscriber.channel
    assert channel is not None
    subscriber.close(TOO_SLOW)
    subscriber.close(OPERATOR)
    assert (channel.count, subscriber.closed, subscriber.close_code) == (0, True, TOO_SLOW.code)


def test_leave_twice_counts_once() -> None:
    subscriber = stuck()
    channel = subscriber.channel
    assert channel is not None
    subscriber.leave()
    subscriber.leave()
    assert channel.count == 0


def test_repr_names_channel_peer_and_transport() -> None:
    assert repr(stuck()) == "<Subscriber 192.0.2.1:5 of '/a' by fake>"


def test_repr_of_a_subscriber_that_left_names_no_channel() -> None:
    assert repr(FakeSubscriber()) == "<Subscriber ? of None by fake>"


@pytest.mark.parametrize(
    ("method", "arguments"), [("write", [batch(2)]), ("write_rest", [batch(2), 0]), ("end_with", [TOO_SLOW])]
)
def test_subscriber_leaves_writing_to_subclasses(method: str, arguments: list[Any]) -> None:
    with pytest.raises(NotImplementedError):
        getattr(Subscriber(), method)(*arguments)
