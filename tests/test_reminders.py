"""Reminders come in order, once, and not after they were discarded."""

from __future__ import annotations

import math

from eventcast.layers.reminders import Reminders


def test_due_takes_out_what_is_over_in_order() -> None:
    reminders: Reminders[str] = Reminders()
    for when, key in enumerate("abcd"):
        reminders.set(key, when)
    assert list(reminders.due(2)) == ["a", "b"]
    assert list(reminders.due(2)) == []
    assert len(reminders) == 2
    assert reminders.first() == 2


def test_set_replaces_the_time_set_before() -> None:
    reminders: Reminders[str] = Reminders()
    for when, key in enumerate("aba"):
        reminders.set(key, when)
    assert list(reminders.due(10)) == ["b", "a"]


def test_discard_forgets_what_is_there_or_not() -> None:
    reminders: Reminders[str] = Reminders()
    reminders.set("a", 1)
    reminders.discard("a")
    reminders.discard("b")
    assert list(reminders.due(10)) == []
    assert reminders.first() == math.inf


def test_due_allows_to_set_again_meanwhile() -> None:
    reminders: Reminders[str] = Reminders()
    for key in "ab":
        reminders.set(key, 1)
    taken = []
    for key in reminders.due(2):
        taken.append(key)
        reminders.set(key, 3)
    assert taken == ["a", "b"]
    assert list(reminders.due(4)) == ["a", "b"]
