"""The index of patterns finds what a walk through all of them would find."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventcast.engine import patterns
from eventcast.engine.pattern_index import CACHE_SIZE, PatternIndex
from tests.test_patterns import CHANNELS, PATTERNS


@given(st.lists(PATTERNS, max_size=8), st.lists(PATTERNS, max_size=8), CHANNELS)
def test_matching_finds_every_pattern_that_matches(
    kept: list[patterns.Pattern], removed: list[patterns.Pattern], channel: str
) -> None:
    index = PatternIndex()
    for pattern in [*kept, *removed]:
        index.get_or_create(pattern)
    remaining = {pattern.segments for pattern in kept}
    for pattern in removed:
        if pattern.segments not in remaining:
            index.remove(pattern)
    found = [patterns.parse(local.name).segments for local in index.matching(channel)]
    assert len(found) == len(set(found))
    assert set(found) == {segments for segments in remaining if patterns.Pattern("", segments).matches(channel)}


@given(st.lists(PATTERNS, max_size=8))
def test_remove_leaves_nothing_behind(texts: list[patterns.Pattern]) -> None:
    index = PatternIndex()
    for pattern in texts:
        index.get_or_create(pattern)
    for pattern in texts:
        index.remove(pattern)
    assert not index
    assert not index._by_length


def test_remove_does_nothing_where_nothing_is() -> None:
    index = PatternIndex()
    index.remove(patterns.parse("/<x>"))
    assert not index


def test_only_patterns_that_begin_as_the_name_does_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    index = PatternIndex()
    for number in range(50):
        index.get_or_create(patterns.parse(f"/user-{number}/<int:id>/paid"))
        index.get_or_create(patterns.parse(f"/orders/{number}-<slug:id>"))
    asked: list[str] = []
    monkeypatch.setattr(patterns.Pattern, "matches_parts", lambda pattern, parts: asked.append(pattern.text))
    index.matching("/orders/42")
    index.matching("/user-7/42/paie")
    assert asked == ["/user-7/<int:id>/paid"]


@pytest.mark.parametrize("change", ["get_or_create", "remove"])
def test_matching_sees_a_change_that_came_while_it_looked(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index, first, second = PatternIndex(), patterns.parse("/<int:x>"), patterns.parse("/<slug:x>")
    for pattern in (first, second) if change == "remove" else (first,):
        index.get_or_create(pattern)
    matches_parts = patterns.Pattern.matches_parts

    def change_and_look(pattern: patterns.Pattern, parts: list[str]) -> bool:
        getattr(index, change)(second)
        return matches_parts(pattern, parts)

    monkeypatch.setattr(patterns.Pattern, "matches_parts", change_and_look)
    index.matching("/7")  # may or may not have it
    monkeypatch.undo()
    assert len(index.matching("/7")) == (2 if change == "get_or_create" else 1)


def test_only_so_many_results_are_cached() -> None:
    index = PatternIndex()
    index.get_or_create(patterns.parse("/<x>"))
    for number in range(3 * CACHE_SIZE):
        index.matching(f"/{number}")
    assert len(index._cache) <= CACHE_SIZE
