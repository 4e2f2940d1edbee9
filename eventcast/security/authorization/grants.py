"""Lists of path patterns in the settings: grants, which hold for all their patterns, and ordered lists, where the first
entry that matches counts. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from eventcast.engine import patterns
from eventcast.engine.patterns import Pattern, Segment
from eventcast.exceptions import Refused


def parse(texts: Iterable[str]) -> tuple[Pattern, ...]:
    """The patterns that ``texts`` mean.

    :raises InvalidPattern, InvalidChannel: one of them means none.
    """
    return tuple(patterns.parse(text) for text in texts)


def hold(granted: Sequence[Pattern], wanted: str | Pattern) -> bool:
    """Whether one of the patterns holds a channel, or surely every channel of a pattern."""
    if isinstance(wanted, Pattern):
        return any(pattern.covers(wanted) for pattern in granted)
    return any(pattern.matches(wanted) for pattern in granted)


def problems(texts: object) -> list[str]:
    """What is wrong with a list of patterns in the settings: a sentence each."""
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return ["not a list of paths, such as ['/orders/<path:any>']."]
    found = []
    for text in texts:
        try:
            patterns.parse(text)
        except Refused as refusal:
            found.append(refusal.detail)
    return found


# --- ordered lists ----------------------------------------------------------------------------------------------------


class Entry(Protocol):
    """Something that holds for the channels of a pattern."""

    @property
    def pattern(self) -> Pattern: ...


Item = TypeVar("Item", bound=Entry)


def deciding(entries: Sequence[Item], wanted: str | Pattern) -> list[Item]:
    """The entries that say what holds for a channel, or for all channels of a pattern.

    For a channel that is the first that matches. For a pattern it is one that surely covers it, and before that all
    that might have a channel in common with it: what is asked for has to be allowed by each of them. Where that cannot
    be told, as when only several entries together cover it, there is none.
    """
    if not isinstance(wanted, Pattern):
        return next(([entry] for entry in entries if entry.pattern.matches(wanted)), [])
    found: list[Item] = []
    for entry in entries:
        if entry.pattern.covers(wanted):
            return [*found, entry]
        if not disjoint(entry.pattern, wanted):
            found.append(entry)
    return []


def disjoint(one: Pattern, other: Pattern) -> bool:
    """Whether no channel matches both for sure. False where that cannot be told."""
    for mine, theirs in zip(one.segments, other.segments, strict=False):
        if "path" in (mine.kind, theirs.kind):
            # What comes behind it is anything: only what stands before it can tell them apart.
            return not (mine.before.startswith(theirs.before) or theirs.before.startswith(mine.before))
        if _segments_disjoint(mine, theirs):
            return True
    return len(one.segments) != len(other.segments)


def _segments_disjoint(one: Segment, other: Segment) -> bool:
    if not one.kind:
        return other.matches(one.before) is None
    if not other.kind:
        return one.matches(other.before) is None
    return not (
        (one.before.startswith(other.before) or other.before.startswith(one.before))
        and (one.after.endswith(other.after) or other.after.endswith(one.after))
    )
