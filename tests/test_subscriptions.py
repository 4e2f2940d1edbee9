"""The tree of patterns finds what a walk through all of them would find."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventcast.engine import patterns
from eventcast.engine.pattern_tree import REMEMBERED, PatternTree
from tests.test_patterns import CHANNELS, PATTERNS


@given(st.lists(PATTERNS, max_size=8), st.lists(PATTERNS, max_size=8), CHANNELS)
def test_matching_finds_every_pattern_that_matches(
    kept: list[patterns.Pattern], removed: list[patterns.Pattern], channel: str
) -> None:
    tree = PatternTree()
    for pattern in [*kept, *removed]:
        tree.make(pattern)
    remaining = {pattern.segments for pattern in kept}
    for pattern in removed:
        if pattern.segments not in remaining:
            tree.remove(pattern)
    found = [patterns.parse(local.name).segments for local in tree.matching(channel)]
    assert len(found) == len(set(found))
    assert set(found) == {segments for segments in remaining if patterns.Pattern("", segments).matches(channel)}


@given(st.lists(PATTERNS, max_size=8))
def test_remove_leaves_nothing_behind(texts: list[patterns.Pattern]) -> None:
    tree = PatternTree()
    for pattern in texts:
        tree.make(pattern)
    for pattern in texts:
        tree.remove(pattern)
    assert not tree
    assert tree._root.empty


def test_remove_does_nothing_where_nothing_is() -> None:
    tree = PatternTree()
    tree.remove(patterns.parse("/<x>"))
    assert not tree


def test_work_does_not_grow_with_the_patterns_that_do_not_match(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = PatternTree()
    for number in range(50):
        tree.make(patterns.parse(f"/user-{number}/<int:id>/paid"))
        tree.make(patterns.parse(f"/<int:id>.{number}/"))
        tree.make(patterns.parse(f"/{number}-<slug:id>/"))
    asked: list[str] = []

    def look(text: str, begin: int, end: int) -> bool:
        asked.append(text[begin:end])
        return True

    monkeypatch.setitem(patterns.KINDS, "int", look)
    monkeypatch.setitem(patterns.KINDS, "slug", look)
    assert tree.matching("/orders/42") == ()
    assert tree.matching("/user-7/42/paie") == ()
    assert len(tree.matching("/7-a.8/")) == 2
    assert sorted(asked) == ["42", "7-a", "a.8"]


@pytest.mark.parametrize("change", ["make", "remove"])
def test_matching_sees_a_change_that_came_while_it_looked(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, first, second = PatternTree(), patterns.parse("/<int:x>"), patterns.parse("/<slug:x>")
    for pattern in (first, second) if change == "remove" else (first,):
        tree.make(pattern)
    look = patterns.KINDS["int"]

    def change_and_look(*arguments: Any) -> object:
        getattr(tree, change)(second)
        return look(*arguments)

    monkeypatch.setitem(patterns.KINDS, "int", change_and_look)
    tree.matching("/7")  # may or may not have it
    monkeypatch.undo()
    assert len(tree.matching("/7")) == (2 if change == "make" else 1)


def test_only_so_many_names_are_remembered() -> None:
    tree = PatternTree()
    tree.make(patterns.parse("/<x>"))
    for number in range(3 * REMEMBERED):
        tree.matching(f"/{number}")
    assert len(tree._found) <= REMEMBERED
