"""The tree of patterns finds what a walk through all of them would find."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventcast import patterns
from eventcast.subscriptions import PatternTree
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
    asked: list[str] = []
    monkeypatch.setattr(
        patterns.Segment, "matches", property(lambda segment: lambda text: asked.append(text)), raising=True
    )
    assert tree.matching("/orders/42") == []
    assert tree.matching("/user-7/42/paid") == []
    assert asked == ["42"]
