"""Rates, and the figures that the charts show."""

from __future__ import annotations

import sys

import pytest
from django.test import Client

from eventcast.admin import recorder
from eventcast.admin.recorder import FORGOTTEN, READINGS, Recorder
from eventcast.engine.hub import current_hub
from eventcast.engine.patterns import parse
from tests.admin.conftest import Clock, Room, record, url
from tests.fakes import FakeSubscriber, until


@pytest.fixture
def tape(clock: Clock) -> Recorder:
    """A recorder that reads when a test says so."""
    return Recorder(clock)


# --- rates ------------------------------------------------------------------------------------------------------------


def test_rate_is_unknown_before_the_first_reading(tape: Recorder, room: Room) -> None:
    room.fill(["/a"])
    look = tape.look()
    assert (look.by_channel, look.overall, look.totals.subscribers) == (None, None, 1)


def test_rate_counts_messages_since_the_last_reading(tape: Recorder, room: Room, clock: Clock) -> None:
    room.fill(["/a", "/b"])
    room.publish("/a", "before")
    record(tape)
    clock.advance(4)
    room.publish("/a", "one", "two")
    look = tape.look()
    assert (look.by_channel, look.overall) == ({"/a": 0.5, "/b": 0.0}, 0.5)


def test_rate_is_not_measured_since_a_reading_just_now(tape: Recorder, room: Room, clock: Clock) -> None:
    room.fill(["/a"])
    record(tape)
    clock.advance(2)
    room.publish("/a", "one")
    record(tape)
    clock.advance(0.5)
    look = tape.look()
    assert (look.by_channel, look.overall) == ({"/a": 0.4}, 0.4)


def test_rate_counts_from_zero_when_a_channel_begins_anew(tape: Recorder, room: Room, clock: Clock) -> None:
    first = room.enter("/a")
    room.publish("/a", "one", "two", "three")
    record(tape)
    room.leave(first)
    room.enter("/a")
    room.publish("/a", "four", "five")
    clock.advance(2)
    look = tape.look()
    assert (look.by_channel, look.overall) == ({"/a": 1.0}, 1.0)


def test_rate_of_a_channel_beyond_the_limit_is_unknown(
    tape: Recorder, room: Room, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LIMIT", 2)  # all together, and one channel
    room.fill(["/a", "/b"])
    record(tape)
    clock.advance(2)
    assert tape.look().by_channel == {"/a": 0.0}
    assert [point.rate for point in tape.points("/b", 1, 0)] == [None]


# --- charts -----------------------------------------------------------------------------------------------------------


def test_points_hold_the_figures_of_each_reading_and_of_now(tape: Recorder, room: Room, clock: Clock) -> None:
    start = clock.now
    record(tape)
    room.fill(["/a", "/a"])
    clock.advance(10)
    record(tape)
    room.publish("/a", "one")
    for _ in range(2):
        clock.advance(10)
        record(tape)
    clock.advance(5)
    room.publish("/a", "two")
    recorded = [(start + 10, 2, 0), (start + 20, 2, 0.1), (start + 30, 2, 0)]
    assert tape.points("/a", 2, 2) == [*recorded, (start + 35, 2, 0.2)]
    assert tape.points("/a", 2, 2, after=start + 20) == [recorded[-1], (start + 35, 2, 0.2)]
    assert tape.points("/b", 0, 0) == [(start + 35, 0, 0)]
    assert tape.points("", 2, 2)[:-1] == recorded


def test_points_have_no_rate_before_the_first_reading(tape: Recorder, clock: Clock) -> None:
    assert tape.points("/a", 1, 7) == [(clock.now, 1, None)]


def test_points_count_subscribers_by_patterns(tape: Recorder, room: Room, clock: Clock) -> None:
    record(tape)
    room.enter("/a")
    room.enter(parse("/<path:any>"))
    clock.advance(10)
    record(tape)
    assert [point.subscribers for point in tape.points("/a", 2, 0)] == [2, 2]


def test_points_cover_an_hour(tape: Recorder, room: Room, clock: Clock) -> None:
    room.fill(["/a", "/a", "/b"])
    for _ in range(2 * READINGS):
        room.publish("/a", "one")
        record(tape)
        clock.advance(10)
    for name, subscribers, rates in (("/a", 2, {0.1}), ("/b", 1, {0})):
        *points, _ = tape.points(name, 0, 0)
        assert len(points) == READINGS
        assert {point.rate for point in points} == rates
        assert {point.subscribers for point in points} == {subscribers}
    assert sys.getsizeof(tape._series["/a"].changes) < 5000
    assert len(tape._series["/b"].changes) == 3


def test_channel_without_subscribers_is_forgotten_after_minutes(tape: Recorder, room: Room, clock: Clock) -> None:
    record(tape)
    first = room.enter("/a")
    clock.advance(10)
    record(tape)
    room.leave(first)
    for _ in range(FORGOTTEN + 1):
        clock.advance(10)
        record(tape)
    assert {point.subscribers for point in tape.points("/a", 0, 0)} == {0, 1}
    clock.advance(10)
    record(tape)
    assert len(tape.points("/a", 0, 0)) == 1


async def test_timer_records_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "INTERVAL", 0.0)
    monkeypatch.setattr(recorder, "SLICE", 0.0)
    monkeypatch.setattr(recorder, "SHORTEST", 0.0)
    tape = Recorder()
    subscribers = [FakeSubscriber() for _ in range(3)]
    for number, subscriber in enumerate(subscribers):
        await current_hub().subscribe(f"/{number}", subscriber)
    tape.begin()
    assert tape.points("/2", 1, 0)[:-1] == []  # the first slice has ended before it
    await until(lambda: len(tape.points("/2", 1, 0)) > 2)
    tape.begin = lambda: None  # type: ignore[method-assign]
    for subscriber in subscribers:
        current_hub().unsubscribe(subscriber)


def test_chart_has_what_was_recorded_before_the_first_look(superuser: Client, room: Room, clock: Clock) -> None:
    room.enter("/a")  # The timer begins with the event loop.
    clock.advance(10)
    record(recorder.recorder)
    clock.advance(3)
    for page in (url("figures", "/a"), url("list_figures")):
        first, last = superuser.get(page).json()["points"]
        assert last[0] - first[0] == 3
        assert superuser.get(page, {"after": first[0]}).json()["points"] == [last]
