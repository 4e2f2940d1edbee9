from __future__ import annotations

import asyncio

import pytest
from django.test import override_settings

from eventcast.engine import patterns
from eventcast.engine.hub import Hub, current_hub
from eventcast.engine.quotas import Quotas, quotas
from eventcast.engine.subscribers import Subscriber
from eventcast.exceptions import ChannelFull, LayerUnavailable, Refused, ServerFull, TooManyConnections, TooManyPatterns
from tests.fakes import FakeSubscriber, FlakyLayer, layer_in_use, until


def limited(**limits: int) -> override_settings:
    return override_settings(EVENTCAST=limits)


def taken(*wanted: str, address: str = "") -> Quotas:
    quotas = Quotas()
    for each in wanted:
        quotas.reserve(patterns.parse(each) if "<" in each else each, address)
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
            quotas.reserve("/a", "192.0.2.1")
    assert quotas.subscribers == 2


@pytest.mark.parametrize(
    "limit", ["MAX_SUBSCRIBERS", "MAX_SUBSCRIBERS_PER_CHANNEL", "MAX_SUBSCRIBERS_PER_ADDRESS", "MAX_PATTERNS"]
)
def test_place_that_is_given_back_can_be_taken(limit: str) -> None:
    wanted = patterns.parse("/<a>") if limit == "MAX_PATTERNS" else "/a"
    with limited(**{limit: 1}):
        quotas = Quotas()
        for _ in range(3):
            quotas.release(quotas.reserve(wanted, "192.0.2.1"))
        quotas.reserve(wanted, "192.0.2.1")


def test_limits_of_0_are_none() -> None:
    with limited(MAX_SUBSCRIBERS=0, MAX_SUBSCRIBERS_PER_CHANNEL=0, MAX_SUBSCRIBERS_PER_ADDRESS=0, MAX_PATTERNS=0):
        assert taken("/a", "/a", "/<a>", "/<int:a>", address="192.0.2.1").subscribers == 4


def test_limit_of_a_channel_leaves_others_alone() -> None:
    with limited(MAX_SUBSCRIBERS_PER_CHANNEL=1):
        taken("/a", "/b")


def test_limit_of_an_address_leaves_others_alone() -> None:
    with limited(MAX_SUBSCRIBERS_PER_ADDRESS=1):
        taken("/a", address="192.0.2.1").reserve("/a", "192.0.2.2")


def test_limit_of_an_address_leaves_those_alone_who_have_none() -> None:
    with limited(MAX_SUBSCRIBERS_PER_ADDRESS=1):
        taken("/a", "/a")


def test_limit_of_an_address_may_be_set_while_subscribers_are_there() -> None:
    quotas = Quotas()
    before = quotas.reserve("/a", "192.0.2.1")
    with limited(MAX_SUBSCRIBERS_PER_ADDRESS=1):
        now = quotas.reserve("/a", "192.0.2.1")
        quotas.release(before)
        with pytest.raises(TooManyConnections):
            quotas.reserve("/a", "192.0.2.1")
    quotas.release(now)
    assert quotas.subscribers == 0


def test_limit_of_patterns_counts_different_ones() -> None:
    with limited(MAX_PATTERNS=1):
        quotas = taken("/<a>", "/<b>")  # one, under two names
        with pytest.raises(TooManyPatterns):
            quotas.reserve(patterns.parse("/<int:a>"), "")
        quotas.reserve("/a", "")


def test_pattern_is_counted_until_its_last_subscriber_leaves() -> None:
    with limited(MAX_PATTERNS=1):
        quotas = Quotas()
        places = [quotas.reserve(patterns.parse("/<a>"), "") for _ in range(2)]
        quotas.release(places[0])
        with pytest.raises(TooManyPatterns):
            quotas.reserve(patterns.parse("/<int:a>"), "")
        quotas.release(places[1])
        quotas.reserve(patterns.parse("/<int:a>"), "")


# --- in the hub -------------------------------------------------------------------------------------------------------


async def listening(hub: Hub, address: str = "") -> Subscriber:
    subscriber = FakeSubscriber(address=address)
    await hub.subscribe("/a", subscriber)
    return subscriber


async def test_hub_takes_a_place_and_gives_it_back_once() -> None:
    hub, before = current_hub(), quotas.subscribers
    subscriber = await listening(hub)
    assert quotas.subscribers == before + 1
    hub.unsubscribe(subscriber)
    assert quotas.subscribers == before


async def test_hub_gives_a_place_back_if_joining_fails() -> None:
    hub, before, layer = current_hub(), quotas.subscribers, FlakyLayer()
    layer.failing = {"group_add"}
    with layer_in_use(layer), pytest.raises(LayerUnavailable):
        await listening(hub)
    assert quotas.subscribers == before


async def test_hub_gives_a_place_back_if_joining_is_cancelled() -> None:
    hub, before, layer = current_hub(), quotas.subscribers, FlakyLayer()
    with layer_in_use(layer):
        layer.gate = asyncio.Event()
        joining = asyncio.ensure_future(listening(hub))
        await until(lambda: "group_add" in layer.calls)
        assert quotas.subscribers == before + 1
        joining.cancel()
        await asyncio.wait([joining])
    assert quotas.subscribers == before


@limited(MAX_SUBSCRIBERS_PER_CHANNEL=3)
async def test_hub_counts_those_exactly_who_come_while_others_join() -> None:
    hub, layer = current_hub(), FlakyLayer()
    with layer_in_use(layer):
        layer.gate = asyncio.Event()
        joining = [asyncio.ensure_future(listening(hub)) for _ in range(10)]
        await until(lambda: sum(task.done() for task in joining) == 7)
        layer.gate.set()
        results = await asyncio.gather(*joining, return_exceptions=True)
        assert sum(isinstance(result, ChannelFull) for result in results) == 7
        for subscriber in results:
            if isinstance(subscriber, Subscriber):
                hub.unsubscribe(subscriber)


@limited(MAX_SUBSCRIBERS_PER_ADDRESS=1)
async def test_hub_counts_the_address_of_a_subscriber() -> None:
    hub = current_hub()
    subscriber = await listening(hub, "192.0.2.1")
    with pytest.raises(TooManyConnections):
        await listening(hub, "192.0.2.1")
    hub.unsubscribe(subscriber)
