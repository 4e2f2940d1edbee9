from __future__ import annotations

from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.test import RequestFactory, override_settings

from eventcast.engine.closing import POLICY_VIOLATION
from eventcast.exceptions import TooManyPublishes
from eventcast.security import throttling
from eventcast.security.authorization.permits import Permit
from eventcast.security.throttling import Allowances, Inbound
from tests.fakes import FakeSubscriber, set_clock
from tests.test_views import call

RATE, BURST = 10.0, 5.0


def take(allowances: Allowances, now: float, publisher: str = "a", messages: int = 1) -> float:
    return allowances.take(publisher, messages, RATE, BURST, now)


@pytest.fixture(autouse=True)
def fresh_allowances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "allowances", Allowances())
    set_clock(monkeypatch, throttling, 100.0)  # No allowance grows while a test is kept waiting.


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


def test_wait_books_nothing() -> None:
    allowances = Allowances()
    assert [allowances.wait("a", 5, RATE, BURST, 100.0) for _ in range(3)] == [0.0] * 3
    assert not allowances._booked_until


def test_messages_are_booked_together_or_not_at_all() -> None:
    allowances = Allowances()
    assert take(allowances, 100.0, messages=3) == 0
    assert take(allowances, 100.0, messages=4) == pytest.approx(2 / RATE)
    assert take(allowances, 100.0, messages=2) == 0


def test_nothing_is_booked_beyond_the_burst() -> None:
    allowances = Allowances()
    for messages in range(1, 1000):
        take(allowances, 100.0, messages=messages)
    assert take(allowances, 100.0, messages=int(BURST)) <= BURST / RATE


def test_publishers_have_an_allowance_each() -> None:
    allowances = Allowances()
    for _ in range(6):
        take(allowances, 100.0)
    assert take(allowances, 100.0, "b") == 0


def test_allowances_forget_who_has_been_silent_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "MAX_REMEMBERED", 100)
    allowances = Allowances()
    for number in range(1000):
        take(allowances, float(number), f"publisher {number}")
        take(allowances, float(number), "busy", messages=int(BURST))
    assert len(allowances._booked_until) == 100
    assert take(allowances, 999.0, "busy") > 0


# --- publishing -------------------------------------------------------------------------------------------------------


def request(address: str = "192.0.2.1", **headers: str) -> Any:
    return RequestFactory().post("/a", REMOTE_ADDR=address, headers=headers)


def publish(asked: Any = None, messages: int = 1, user: str = "") -> None:
    """The checks of a request to publish, as the view has them made."""
    asked = request() if asked is None else asked
    throttling.book(asked, Permit(identity=user), 0)
    throttling.book(asked, Permit(identity=user), messages)


@override_settings(EVENTCAST={"PUBLISH_RATE": 1, "PUBLISH_BURST": 2})
def test_one_publish_too_many_is_refused_with_a_time_to_wait() -> None:
    for _ in range(2):
        publish()
    with pytest.raises(TooManyPublishes) as refused:
        publish()
    assert refused.value.answer_headers() == {"Retry-After": "1"}


@override_settings(EVENTCAST={"PUBLISH_RATE": 1, "PUBLISH_BURST": 1})
def test_users_have_an_allowance_each_wherever_they_come_from() -> None:
    publish(user="zhang")
    publish(user="wang")
    publish()
    with pytest.raises(TooManyPublishes):
        publish(request("192.0.2.2"), user="zhang")


@override_settings(EVENTCAST={"PUBLISH_RATE": 1, "PUBLISH_BURST": 1, "TRUSTED_PROXIES": ["192.0.2.1"]})
def test_clients_of_a_trusted_proxy_have_an_allowance_each() -> None:
    publish(request(**{"X-Forwarded-For": "203.0.113.1"}))
    publish(request(**{"X-Forwarded-For": "203.0.113.2"}))
    with pytest.raises(TooManyPublishes):
        publish(request(**{"X-Forwarded-For": "6.6.6.6, 203.0.113.2"}))


@override_settings(EVENTCAST={"PUBLISH_RATE": 2})
def test_burst_is_that_of_five_seconds_by_default() -> None:
    for _ in range(10):
        publish()
    with pytest.raises(TooManyPublishes):
        publish()


@override_settings(EVENTCAST={"PUBLISH_RATE": 1, "PUBLISH_BURST": 3})
def test_request_over_the_burst_is_refused_and_books_nothing() -> None:
    with pytest.raises(TooManyPublishes, match="fewer messages per request") as refused:
        publish(messages=10_000)
    assert refused.value.answer_headers() == {"Retry-After": "1"}
    publish(messages=3)


@override_settings(EVENTCAST={"PUBLISH_RATE": 1, "PUBLISH_BURST": 3})
def test_request_over_the_rest_of_the_burst_is_refused_and_books_nothing() -> None:
    publish(messages=2)
    with pytest.raises(TooManyPublishes) as refused:
        publish(messages=3)
    assert refused.value.retry_after == pytest.approx(2, abs=0.5)
    publish(messages=1)


@override_settings(EVENTCAST={"PUBLISH_RATE": 1, "PUBLISH_BURST": 3})
def test_wait_after_a_request_over_the_burst_is_that_of_a_whole_burst() -> None:
    publish(messages=2)
    with pytest.raises(TooManyPublishes) as refused:
        publish(messages=10_000)
    assert refused.value.retry_after == pytest.approx(2, abs=0.5)


def test_no_publisher_is_remembered_without_a_rate() -> None:
    publish(messages=1000)
    assert not throttling.allowances._booked_until


@override_settings(EVENTCAST={"PUBLISH_RATE": 1, "PUBLISH_BURST": 5})
async def test_request_over_the_burst_publishes_none_of_its_messages() -> None:
    async def post(lines: int) -> tuple[int, str]:
        answer = await call(ASGIHandler(), "POST", "/a", b"x\n" * lines, "application/x-ndjson")
        return answer.status, answer.headers.get("retry-after", "")

    assert [await post(lines) for lines in (10_000, 5, 1)] == [(429, "1"), (202, ""), (429, "1")]


# --- what listeners send ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "counted", "too_many"),
    [({"MAX_INBOUND_FRAMES": 2}, [(1, 5), (1, 5)], (1, 0)), ({"MAX_INBOUND_BYTES": 10}, [(1, 5), (0, 5)], (1, 1))],
    ids=["frame", "byte"],
)
def test_inbound_disconnects_after_one_too_many(
    limit: dict[str, int], counted: list[tuple[int, int]], too_many: tuple[int, int]
) -> None:
    inbound, subscriber = Inbound(), FakeSubscriber()
    with override_settings(EVENTCAST=limit):
        for frames, size in counted:
            inbound.count(subscriber, frames, size)
        assert not subscriber.closed
        inbound.count(subscriber, *too_many)
    assert subscriber.close_code == POLICY_VIOLATION


@override_settings(EVENTCAST={"MAX_INBOUND_FRAMES": 1})
def test_inbound_begins_anew_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    inbound, subscriber = Inbound(), FakeSubscriber()
    for number in range(3):
        set_clock(monkeypatch, throttling, 100.0 + number * (throttling.INBOUND_WINDOW + 1))
        inbound.count(subscriber, 1, 5)
    assert not subscriber.closed


@override_settings(EVENTCAST={"MAX_INBOUND_FRAMES": 0, "MAX_INBOUND_BYTES": 0})
def test_inbound_takes_anything_where_nothing_is_limited() -> None:
    inbound, subscriber = Inbound(), FakeSubscriber()
    for _ in range(1000):
        inbound.count(subscriber, 1, 5000)
    assert not subscriber.closed


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
