from __future__ import annotations

import pytest

from eventcast.admin.rates import LONGEST, Rates
from tests.admin.conftest import Clock, Room


@pytest.fixture
def rates(clock: Clock) -> Rates:
    return Rates(clock)


def test_rate_is_not_known_at_a_first_look(rates: Rates, room: Room) -> None:
    room.fill(["/a"])
    look = rates.look()
    assert (look.by_channel, look.overall, look.totals.subscribers) == (None, None, 1)


def test_rate_is_what_came_since_the_last_look(rates: Rates, room: Room, clock: Clock) -> None:
    room.fill(["/a", "/b"])
    room.publish("/a", "before")
    rates.look()
    clock.advance(4)
    room.publish("/a", "one", "two")
    look = rates.look()
    assert (look.by_channel, look.overall) == ({"/a": 0.5}, 0.5)


def test_rate_of_looks_that_follow_at_once_is_that_of_the_first(rates: Rates, room: Room, clock: Clock) -> None:
    room.fill(["/a"])
    rates.look()
    clock.advance(2)
    room.publish("/a", "one")
    assert rates.look().overall == 0.5
    clock.advance(0.5)
    room.publish("/a", "two", "three")
    assert rates.look().overall == 0.5


def test_rate_is_not_known_after_a_pause(rates: Rates, room: Room, clock: Clock) -> None:
    room.fill(["/a"])
    rates.look()
    clock.advance(LONGEST + 1)
    assert rates.look().overall is None


def test_rate_counts_from_zero_when_a_channel_begins_anew(rates: Rates, room: Room, clock: Clock) -> None:
    first = room.enter("/a")
    room.publish("/a", "one", "two", "three")
    rates.look()
    room.leave("/a", first)
    room.enter("/a")
    room.publish("/a", "four", "five")
    clock.advance(2)
    look = rates.look()
    assert (look.by_channel, look.overall) == ({"/a": 1.0}, 1.0)
