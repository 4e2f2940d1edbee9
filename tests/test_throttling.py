from __future__ import annotations

from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.test import RequestFactory, override_settings

from eventcast.exceptions import TooManyFrames, TooManyPublishes
from eventcast.security import throttling
from eventcast.security.throttling import Allowances, Inbound
from tests.test_views import call

RATE, BURST = 10.0, 5.0


def take(allowances: Allowances, now: float, publisher: str = "a", messages: int = 1) -> float:
    return allowances.take(publisher, messages, RATE, BURST, now)


@pytest.fixture(autouse=True)
def fresh_allowances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "allowances", Allowances())


# --- allowances -------------------------------------------------------------------------------------------------------


def test_allowance_is_a_burst_after_silence() -> None:
    allowances = Allowances()
    assert [take(allowances, 100.0) > 0 for _ in range(7)] == [False] * 5 + [True] * 2


def test_allowance_says_how_long_it_takes_to_refill() -> None:
    allowances = Allowances()
    for _ in range(5):
        take(allowances, 100.0)
    assert take(allowances, 100.0) == pytest.approx(1 / RATE)


def test_allowance_refills_at_its_rate() -> None:
    allowances = Allowances()
    passed = sum(take(allowances, 100 + step / 100) == 0 for step in range(1000))  # 100 attempts a second for 10
    assert passed == pytest.approx(BURST + RATE * 10, abs=1)


def test_allowance_never_holds_more_than_a_burst() -> None:
    allowances = Allowances()
    take(allowances, 0.0)
    assert sum(take(allowances, 10_000.0) == 0 for _ in range(20)) == BURST


def test_refused_attempt_costs_nothing() -> None:
    allowances = Allowances()
    for _ in range(100):
        take(allowances, 100.0)
    assert take(allowances, 100.0 + 1 / RATE) == 0


def test_charge_is_paid_by_who_comes_next() -> None:
    allowances = Allowances()
    take(allowances, 100.0)
    allowances.charge("a", 99, RATE, 100.0)
    assert take(allowances, 100.0) == pytest.approx((100 - BURST + 1) / RATE)


def test_publishers_have_an_allowance_each() -> None:
    allowances = Allowances()
    for _ in range(6):
        take(allowances, 100.0)
    assert take(allowances, 100.0, "b") == 0


def test_allowances_forget_who_has_been_silent_for_longest() -> None:
    allowances = Allowances(remembered=100)
    for number in range(1000):
        take(allowances, float(number), f"publisher {number}")
        allowances.charge("busy", 1000, RATE, float(number))
    assert len(allowances) == 100
    assert take(allowances, 1000.0, "busy") > 0


# --- publishing -------------------------------------------------------------------------------------------------------


def request(address: str = "192.0.2.1", **headers: str) -> Any:
    return RequestFactory().post("/a", REMOTE_ADDR=address, headers=headers)


@override_settings(EVENTCAST={"PUBLISH_RATE": 1, "PUBLISH_BURST": 2})
def test_one_publish_too_many_is_refused_with_a_time_to_wait() -> None:
    for _ in range(2):
        throttling.check_rate(request())
    with pytest.raises(TooManyPublishes) as refused:
        throttling.check_rate(request())
    assert refused.value.answer_headers() == {"Retry-After": "1"}


@override_settings(EVENTCAST={"PUBLISH_RATE": 1, "PUBLISH_BURST": 1})
def test_users_have_an_allowance_each_wherever_they_come_from() -> None:
    throttling.check_rate(request(), "zhang")
    throttling.check_rate(request(), "wang")
    throttling.check_rate(request())
    with pytest.raises(TooManyPublishes):
        throttling.check_rate(request("192.0.2.2"), "zhang")


@override_settings(EVENTCAST={"PUBLISH_RATE": 1, "PUBLISH_BURST": 1, "TRUSTED_PROXIES": ["192.0.2.1"]})
def test_clients_of_a_trusted_proxy_have_an_allowance_each() -> None:
    throttling.check_rate(request(**{"X-Forwarded-For": "203.0.113.1"}))
    throttling.check_rate(request(**{"X-Forwarded-For": "203.0.113.2"}))
    with pytest.raises(TooManyPublishes):
        throttling.check_rate(request(**{"X-Forwarded-For": "6.6.6.6, 203.0.113.2"}))


@override_settings(EVENTCAST={"PUBLISH_RATE": 2})
def test_burst_is_that_of_five_seconds_by_default() -> None:
    for _ in range(10):
        throttling.check_rate(request())
    with pytest.raises(TooManyPublishes):
        throttling.check_rate(request())


@override_settings(EVENTCAST={"PUBLISH_RATE": 1, "PUBLISH_BURST": 3})
def test_batch_counts_as_its_messages() -> None:
    throttling.check_rate(request())
    throttling.charge(request(), "", 999)
    with pytest.raises(TooManyPublishes) as refused:
        throttling.check_rate(request())
    assert refused.value.retry_after == pytest.approx(998, abs=1)


def test_nobody_is_remembered_without_a_rate() -> None:
    throttling.check_rate(request())
    throttling.charge(request(), "", 999)
    assert len(throttling.allowances) == 0


# --- what listeners send ----------------------------------------------------------------------------------------------


@override_settings(EVENTCAST={"MAX_INBOUND_FRAMES": 2})
def test_inbound_refuses_one_frame_too_many() -> None:
    inbound = Inbound()
    inbound.count(1, 5)
    inbound.count(1, 5)
    with pytest.raises(TooManyFrames, match="MAX_INBOUND_FRAMES"):
        inbound.count(1, 0)


@override_settings(EVENTCAST={"MAX_INBOUND_BYTES": 10})
def test_inbound_refuses_one_byte_too_many() -> None:
    inbound = Inbound()
    inbound.count(1, 5)
    inbound.count(0, 5)
    with pytest.raises(TooManyFrames, match="MAX_INBOUND_BYTES"):
        inbound.count(1, 1)


@override_settings(EVENTCAST={"MAX_INBOUND_FRAMES": 1})
def test_inbound_begins_anew_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(throttling.time, "monotonic", lambda: now)
    inbound = Inbound()
    for _ in range(3):
        inbound.count(1, 5)
        now += throttling.INBOUND_WINDOW + 1


@override_settings(EVENTCAST={"MAX_INBOUND_FRAMES": 0, "MAX_INBOUND_BYTES": 0})
def test_inbound_takes_anything_where_nothing_is_limited() -> None:
    inbound = Inbound()
    for _ in range(1000):
        inbound.count(1, 5000)


KEYS = [{"key": f"a-key-of-{name}-long-enough", "name": name, "publish": ["/<path:any>"]} for name in ("shop", "bank")]


@override_settings(
    EVENTCAST={
        "AUTHORIZATION": "eventcast.authorization.Keys",
        "KEYS": KEYS,
        "PUBLISH_RATE": 1,
        "PUBLISH_BURST": 1,
    }
)
async def test_keys_have_an_allowance_each_and_who_has_none_is_asked_for_one_first() -> None:
    async def publish(key: str) -> int:
        headers = [("X-API-Key", key)] if key else []
        return (await call(ASGIHandler(), "POST", "/a", b"x", "text/plain", headers)).status

    shop, bank = (key["key"] for key in KEYS)
    assert [await publish(key) for key in ("", "", shop, bank, shop)] == [401, 401, 202, 202, 429]
