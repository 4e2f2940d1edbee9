"""When a subscription comes back, and what is said of it."""

from __future__ import annotations

import re

import pytest

from eventcast.client import reconnecting
from eventcast.client.reconnecting import FIRST, LATEST, SOON, Course, Outage, State
from eventcast.engine.closing import EXPIRED, OPERATOR, REVOKED, Closing
from eventcast.exceptions import (
    EventcastError,
    LayerUnavailable,
    Refused,
    ReservedChannel,
    ServerUnreachable,
    Unauthorized,
)

LOST = ServerUnreachable("gone")


def course(*, reconnect: bool = True, wait: bool = False) -> tuple[Course, list[State]]:
    told: list[State] = []
    return Course(reconnect=reconnect, wait=wait, on_state=told.append), told


def test_lost_waits_a_short_time_first() -> None:
    delays = []
    for _ in range(50):
        subscription, _told = course()
        subscription.opened()
        delays.append(subscription.lost(LOST))
    assert SOON <= min(delays) < max(delays) <= FIRST


def test_lost_waits_longer_each_time_up_to_a_limit() -> None:
    longest = [0.0] * 20
    for _ in range(50):
        subscription, _told = course(wait=True)
        longest = [max(known, subscription.lost(LOST)) for known in longest]
    assert max(longest[:3]) <= FIRST < max(longest) <= LATEST


def test_lost_raises_before_it_was_open() -> None:
    subscription, told = course()
    with pytest.raises(ServerUnreachable, match="gone"):
        subscription.lost(LOST)
    assert told == []


def test_lost_raises_without_reconnect() -> None:
    subscription, _told = course(reconnect=False)
    subscription.opened()
    with pytest.raises(ServerUnreachable, match="gone"):
        subscription.lost(LOST)


def test_lost_tries_on_while_the_server_is_away() -> None:
    subscription, told = course()
    subscription.opened()
    for _ in range(3):
        subscription.lost(LOST)
    assert [state.name for state in told] == ["open", "waiting", "waiting", "waiting"]
    assert told[-1].reason == "gone"


@pytest.mark.parametrize("error", [ReservedChannel("no"), Refused("no", status=403)])
def test_lost_raises_what_was_refused_for_good(error: EventcastError) -> None:
    subscription, _told = course(wait=True)
    with pytest.raises(type(error)):
        subscription.lost(error)


def test_lost_waits_as_long_as_the_server_asks() -> None:
    subscription, _told = course(wait=True)
    assert subscription.lost(LayerUnavailable("stopping", retry_after=60.0)) >= 60


def test_lost_keeps_away_for_a_while_after_an_operator_closed_it() -> None:
    subscription, _told = course()
    subscription.opened()
    assert LATEST / 2 <= subscription.lost(LOST, *OPERATOR) <= LATEST


@pytest.mark.parametrize("closing", [EXPIRED, REVOKED])
def test_lost_waits_a_short_time_after_a_permission_that_is_over(closing: Closing) -> None:
    subscription, _told = course()
    subscription.opened()
    assert SOON <= subscription.lost(LOST, *closing) <= FIRST
    with pytest.raises(Unauthorized):
        subscription.lost(Unauthorized("expired"))


def test_opened_tells_how_long_it_was_away() -> None:
    subscription, told = course()
    subscription.opened()
    subscription.lost(LOST)
    subscription.opened()
    assert told[0].missed == 0.0
    assert told[-1].missed > 0.0


def test_closed_is_told_once() -> None:
    subscription, told = course()
    subscription.closed()
    subscription.closed()
    assert [state.name for state in told] == ["closed"]


# --- what clients say about it ----------------------------------------------------------------------------------------


def test_outage_is_told_once_and_its_end_once() -> None:
    told: list[str] = []
    outage = Outage("/a", told.append, after="Messages of that time are missing.")
    for state in (State("open"), *[State("waiting", reason="Gone.")] * 3, State("open"), State("open")):
        outage.take(state)
    assert [re.sub(r"\d+\.\d", "…", line) for line in told] == [
        "/a: Gone. Trying again.",
        "/a: the server is back after … s. Messages of that time are missing.",
    ]


def test_outage_tells_what_is_missing_in_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(reconnecting.time, "monotonic", lambda: now)
    told: list[str] = []
    outage = Outage("/a", told.append)
    for messages in (3, 4, 5):
        outage.take(State("lost", messages=messages))
    now += reconnecting.QUIET
    outage.take(State("lost", messages=1))
    assert told == [f"/a: {number} messages are missing, they were read too slowly." for number in (3, 10)]
