"""Rates, and the figures that the charts show."""

from __future__ import annotations

import threading

import pytest
from django.test import Client

from eventcast.admin import recorder
from eventcast.admin.recorder import KEEP, SPAN, Recorder
from tests.admin.conftest import Clock, Room, url


@pytest.fixture
def tape(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A recorder that reads when a test says so."""
    tape = Recorder(clock)
    monkeypatch.setattr(tape, "_run", lambda: None)
    return tape


# --- rates ------------------------------------------------------------------------------------------------------------


def test_rate_is_unknown_at_the_first_look(tape: Recorder, room: Room) -> None:
    room.fill(["/a"])
    look = tape.look()
    assert (look.by_channel, look.overall, look.totals.subscribers) == (None, None, 1)


def test_rate_counts_messages_since_the_last_reading(tape: Recorder, room: Room, clock: Clock) -> None:
    room.fill(["/a", "/b"])
    room.publish("/a", "before")
    tape.look()
    clock.advance(4)
    room.publish("/a", "one", "two")
    look = tape.look()
    assert (look.by_channel, look.overall) == ({"/a": 0.5}, 0.5)


def test_rate_is_not_measured_since_a_reading_just_now(tape: Recorder, room: Room, clock: Clock) -> None:
    room.fill(["/a"])
    tape.look()
    clock.advance(2)
    room.publish("/a", "one")
    tape.record()
    clock.advance(0.5)
    assert tape.look().overall == 0.4


def test_rate_counts_from_zero_when_a_channel_begins_anew(tape: Recorder, room: Room, clock: Clock) -> None:
    first = room.enter("/a")
    room.publish("/a", "one", "two", "three")
    tape.look()
    room.leave(first)
    room.enter("/a")
    room.publish("/a", "four", "five")
    clock.advance(2)
    look = tape.look()
    assert (look.by_channel, look.overall) == ({"/a": 1.0}, 1.0)


# --- charts -----------------------------------------------------------------------------------------------------------


def test_points_hold_the_figures_of_each_reading(tape: Recorder, room: Room, clock: Clock) -> None:
    start = clock.now
    tape.record()
    room.fill(["/a", "/a", "/b"])
    clock.advance(10)
    tape.record()
    room.publish("/a", "one")
    for _ in range(2):
        clock.advance(10)
        tape.record()
    assert tape.points("/a") == [(start, 0, 0), (start + 10, 2, 0), (start + 20, 2, 1), (start + 30, 2, 1)]
    assert tape.points("/b") == [(start, 0, 0), (start + 10, 1, 0), (start + 20, 1, 0), (start + 30, 1, 0)]


def test_points_fall_to_zero_when_all_subscribers_have_left(tape: Recorder, room: Room, clock: Clock) -> None:
    first = room.enter("/a")
    tape.record()
    room.leave(first)
    clock.advance(10)
    tape.record()
    assert [point.subscribers for point in tape.points("/a")] == [1, 0]


def test_points_are_only_those_after_a_moment(tape: Recorder, clock: Clock) -> None:
    start = clock.now
    for _ in range(3):
        tape.record()
        clock.advance(10)
    assert [point.time for point in tape.points("/a", after=start)] == [start + 10, start + 20]


def test_points_are_empty_before_the_first_reading(tape: Recorder) -> None:
    assert tape.points("/a") == []


def test_points_are_forgotten_after_some_minutes(tape: Recorder, room: Room, clock: Clock) -> None:
    room.fill(["/a", "/a"])
    for _ in range(100):
        tape.record()
        clock.advance(10)
    points = tape.points("/a")
    assert len(points) == SPAN / 10 + 1
    assert {(point.subscribers, point.messages) for point in points} == {(2, 0)}


def test_recording_goes_on_while_pages_are_opened(tape: Recorder, clock: Clock) -> None:
    tape._looked = clock.now
    tape.record()
    clock.advance(KEEP)
    assert tape.forget_unless_wanted()
    assert tape.points("/a")


def test_recording_ends_and_is_forgotten_after_the_last_page(tape: Recorder, clock: Clock) -> None:
    tape._looked = clock.now
    tape.record()
    clock.advance(KEEP + 1)
    assert not tape.forget_unless_wanted()
    assert tape.points("/a") == []


@pytest.mark.parametrize("page", ["totals", "list_figures", "changelist"])
def test_one_thread_records_when_pages_are_opened(superuser: Client, page: str) -> None:
    superuser.get(url(page))
    superuser.get(url(page))
    assert [thread.name for thread in threading.enumerate()].count("eventcast-recorder") == 1


def test_chart_begins_with_what_was_recorded(superuser: Client, room: Room) -> None:
    room.fill(["/a"])
    recorder.recorder.record()  # as the recorder's thread does
    first, *_, last = superuser.get(url("figures", "/a")).json()["points"]
    assert first[0] < last[0]
    assert superuser.get(url("figures", "/a"), {"after": last[0] + 3600}).json()["points"][0][0] > last[0]
