from __future__ import annotations

import pytest
from django.test import override_settings

from eventcast import patterns
from eventcast.exceptions import ChannelFull, Refused, ServerFull, TooManyConnections, TooManyPatterns
from eventcast.quotas import Quotas


def limited(**limits: int) -> override_settings:
    return override_settings(EVENTCAST=limits)


def taken(*wanted: str, address: str = "") -> Quotas:
    quotas = Quotas()
    for each in wanted:
        quotas.take(patterns.parse(each) if "<" in each else each, address)
    return quotas


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({"MAX_SUBSCRIBERS": 2}, ServerFull),
        ({"MAX_SUBSCRIBERS_PER_CHANNEL": 2}, ChannelFull),
        ({"MAX_SUBSCRIBERS_PER_ADDRESS": 2}, TooManyConnections),
    ],
)
def test_take_refuses_one_too_many(limits: dict[str, int], error: type[Refused]) -> None:
    with limited(**limits):
        quotas = taken("/a", "/a", address="192.0.2.1")
        with pytest.raises(error, match=next(iter(limits))):
            quotas.check("/a", "192.0.2.1")
        with pytest.raises(error):
            quotas.take("/a", "192.0.2.1")
    assert quotas.subscribers == 2


@pytest.mark.parametrize(
    "limit", ["MAX_SUBSCRIBERS", "MAX_SUBSCRIBERS_PER_CHANNEL", "MAX_SUBSCRIBERS_PER_ADDRESS", "MAX_PATTERNS"]
)
def test_place_that_is_given_back_can_be_taken(limit: str) -> None:
    wanted = patterns.parse("/<a>") if limit == "MAX_PATTERNS" else "/a"
    with limited(**{limit: 1}):
        quotas = Quotas()
        for _ in range(3):
            quotas.give_back(quotas.take(wanted, "192.0.2.1"))
        quotas.take(wanted, "192.0.2.1")


def test_limits_of_0_are_none() -> None:
    with limited(MAX_SUBSCRIBERS=0, MAX_SUBSCRIBERS_PER_CHANNEL=0, MAX_SUBSCRIBERS_PER_ADDRESS=0, MAX_PATTERNS=0):
        assert taken("/a", "/a", "/<a>", "/<int:a>", address="192.0.2.1").subscribers == 4


def test_limit_of_a_channel_leaves_others_alone() -> None:
    with limited(MAX_SUBSCRIBERS_PER_CHANNEL=1):
        taken("/a", "/b")


def test_limit_of_an_address_leaves_others_alone() -> None:
    with limited(MAX_SUBSCRIBERS_PER_ADDRESS=1):
        taken("/a", address="192.0.2.1").take("/a", "192.0.2.2")


def test_limit_of_an_address_is_one_for_its_ipv6_network() -> None:
    with limited(MAX_SUBSCRIBERS_PER_ADDRESS=1), pytest.raises(TooManyConnections):
        taken("/a", address="2001:db8::1").take("/a", "2001:db8::2")


def test_limit_of_an_address_leaves_those_alone_who_have_none() -> None:
    with limited(MAX_SUBSCRIBERS_PER_ADDRESS=1):
        taken("/a", "/a")


def test_limit_of_an_address_may_be_set_while_subscribers_are_there() -> None:
    quotas = Quotas()
    before = quotas.take("/a", "192.0.2.1")
    with limited(MAX_SUBSCRIBERS_PER_ADDRESS=1):
        now = quotas.take("/a", "192.0.2.1")
        quotas.give_back(before)
        with pytest.raises(TooManyConnections):
            quotas.take("/a", "192.0.2.1")
    quotas.give_back(now)
    assert quotas.subscribers == 0


def test_limit_of_patterns_counts_different_ones() -> None:
    with limited(MAX_PATTERNS=1):
        quotas = taken("/<a>", "/<b>")  # one, under two names
        with pytest.raises(TooManyPatterns):
            quotas.take(patterns.parse("/<int:a>"), "")
        quotas.take("/a", "")


def test_pattern_is_counted_until_its_last_subscriber_leaves() -> None:
    with limited(MAX_PATTERNS=1):
        quotas = Quotas()
        places = [quotas.take(patterns.parse("/<a>"), "") for _ in range(2)]
        quotas.give_back(places[0])
        with pytest.raises(TooManyPatterns):
            quotas.take(patterns.parse("/<int:a>"), "")
        quotas.give_back(places[1])
        quotas.take(patterns.parse("/<int:a>"), "")
