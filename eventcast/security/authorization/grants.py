"""Lists of path patterns in the settings: grants, which allow each path that one of their patterns matches, and ordered
lists, where the first entry that matches decides. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from eventcast.engine import patterns
from eventcast.engine.patterns import Pattern, Segment
from eventcast.exceptions import Refused


def parse(texts: Iterable[str]) -> tuple[Pattern, ...]:
    """The patterns that ``texts`` spell out.

    :raises InvalidPattern, InvalidChannel: one of them is no pattern.
    """
    return tuple(patterns.parse(text) for text in texts)


def hold(granted: Sequence[Pattern], wanted: str | Pattern) -> bool:
    """Whether one of the patterns matches a channel, or for sure every channel of a pattern."""
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


def problems_of_entries(name: str, entries: object, items: str, problems: Callable[[Any], list[str]]) -> list[str]:
    """What is wrong with the entries of a setting: a sentence each.

    :param items: what the entries are, in plural.
    :param problems: tells what is wrong with one of them.
    """
    if not isinstance(entries, list | tuple):
        return [f"EVENTCAST[{name!r}] is a list of {items}."]
    found = [(number, problem) for number, entry in enumerate(entries) for problem in problems(entry)]
    return [f"EVENTCAST[{name!r}][{number}]: {problem}" for number, problem in found]


def problems_of_fields(entry: object, known: Collection[str]) -> list[str]:
    """What is wrong with an entry that has to be a dict with these fields."""
    if not isinstance(entry, dict):
        return [f"not a dict; it has {', '.join(known)}."]
    return [f"{name!r:.50} means nothing; known are {', '.join(known)}." for name in entry if name not in known]


# --- ordered lists ----------------------------------------------------------------------------------------------------


class Entry(Protocol):
    """An entry of an ordered list."""

    @property
    def pattern(self) -> Pattern: ...


Item = TypeVar("Item", bound=Entry)


def deciding(entries: Sequence[Item], wanted: str | Pattern) -> list[Item]:
    """The entries that decide about a channel, or about all channels of a pattern; each of them has to allow it.

    For a channel that is the first entry that matches. For a pattern it is the first entry that covers it, and all
    entries before that may have a channel in common with it. Where no single entry covers the pattern there is none.
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
