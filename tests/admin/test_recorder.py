from __future__ import annotations

import threading

import pytest
from django.test import Client

from eventcast.admin import recorder
from eventcast.admin.recorder import KEEP, SPAN, Recorder
from tests.admin.conftest import Clock, Room, url


@pytest.fixture
def tape(clock: Clock) -> Recorder:
    return Recorder(clock)


def test_points_are_what_was_so_at_each_reading(tape: Recorder, room: Room, clock: Clock) -> None:
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


def test_points_fall_to_zero_when_everybody_has_left(tape: Recorder, room: Room, clock: Clock) -> None:
    first = room.enter("/a")
    tape.record()
    room.leave("/a", first)
    clock.advance(10)
    tape.record()
    assert [point.subscribers for point in tape.points("/a")] == [1, 0]


def test_points_are_only_those_after_a_moment(tape: Recorder, clock: Clock) -> None:
    start = clock.now
    for _ in range(3):
        tape.record()
        clock.advance(10)
    assert [point.time for point in tape.points("/a", after=start)] == [start + 10, start + 20]


def test_points_are_none_before_anybody_has_looked(tape: Recorder) -> None:
    assert tape.points("/a") == []


def test_points_are_forgotten_after_some_minutes(tape: Recorder, room: Room, clock: Clock) -> None:
    room.fill(["/a", "/a"])
    for _ in range(100):
        tape.record()
        clock.advance(10)
    points = tape.points("/a")
    assert len(points) == SPAN / 10 + 1
    assert {(point.subscribers, point.messages) for point in points} == {(2, 0)}


def test_channel_that_is_gone_leaves_nothing_behind(tape: Recorder, room: Room, clock: Clock) -> None:
    first = room.enter("/a")
    tape.record()
    room.leave("/a", first)
    for _ in range(40):
        clock.advance(10)
        tape.record()
    assert not any("/a" in part for part in (tape._before, tape._latest, *dict(tape._readings).values()))


def test_recording_goes_on_while_somebody_looks(tape: Recorder, clock: Clock) -> None:
    tape._looked = clock.now
    tape.record()
    clock.advance(KEEP)
    assert tape.forget_unless_wanted()
    assert tape.points("/a")


def test_recording_ends_and_is_forgotten_when_nobody_looks(tape: Recorder, clock: Clock) -> None:
    tape._looked = clock.now
    tape.record()
    clock.advance(KEEP + 1)
    assert not tape.forget_unless_wanted()
    assert tape.points("/a") == []


@pytest.mark.parametrize("page", ["totals", "list_figures", "changelist"])
def test_thread_records_when_a_page_is_looked_at(superuser: Client, page: str) -> None:
    superuser.get(url(page))
    superuser.get(url(page))
    assert [thread.name for thread in threading.enumerate()].count("eventcast-recorder") == 1


def test_chart_begins_with_what_was_recorded(superuser: Client, room: Room) -> None:
    room.fill(["/a"])
    recorder.recorder.record()  # as its thread does it
    first, *_, last = superuser.get(url("figures", "/a")).json()["points"]
    assert first[0] < last[0]
    assert superuser.get(url("figures", "/a"), {"after": last[0] + 3600}).json()["points"][0][0] > last[0]
