"""Lists of path patterns that something is good for. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eventcast.engine import patterns
from eventcast.engine.patterns import Pattern
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
