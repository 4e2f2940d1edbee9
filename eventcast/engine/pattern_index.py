"""Which local channels a published message goes to by a pattern.

A pattern is looked up by its literal beginning, such as ``/users/42/``, with one look for each length of those: a
pattern that begins otherwise than a channel's name costs a publish nothing. What is found is remembered until a pattern
comes or goes. What is read from other threads is read from copies.
"""

from __future__ import annotations

from collections.abc import Iterator

from eventcast.engine.fanout import LocalChannel
from eventcast.engine.patterns import Pattern, Segment

REMEMBERED = 256
"""Names of which is remembered what matches them: a publish asks three times, and the next one is often to the same."""


class PatternIndex:
    """The local channels of patterns. Two patterns that differ only in their parameters' names share one."""

    def __init__(self) -> None:
        self._channels: dict[tuple[Segment, ...], LocalChannel] = {}
        self._by_length: dict[int, dict[str, dict[LocalChannel, Pattern]]] = {}
        """By the length of what patterns begin with, by that beginning."""
        self._found: dict[str, tuple[LocalChannel, ...]] = {}
        """What :meth:`matching` has found since the last change."""

    def __bool__(self) -> bool:
        return bool(self._channels)

    def __iter__(self) -> Iterator[LocalChannel]:
        return iter(list(self._channels.values()))

    def get(self, pattern: Pattern) -> LocalChannel | None:
        """The local channel of a pattern, if it has subscribers."""
        return self._channels.get(pattern.segments)

    def make(self, pattern: Pattern) -> LocalChannel:
        """The same; made if there is none."""
        channel = self._channels.get(pattern.segments)
        if channel is None:
            channel = self._channels[pattern.segments] = LocalChannel(pattern.text)
            beginnings = self._by_length.setdefault(len(pattern.literal), {})
            beginnings.setdefault(pattern.literal, {})[channel] = pattern
            self._found = {}
        return channel

    def remove(self, pattern: Pattern) -> None:
        """Forget the local channel of a pattern."""
        channel = self._channels.pop(pattern.segments, None)
        if channel is not None:
            beginnings = self._by_length[len(pattern.literal)]
            del beginnings[pattern.literal][channel]
            if not beginnings[pattern.literal]:
                del beginnings[pattern.literal]
            if not beginnings:
                del self._by_length[len(pattern.literal)]
            self._found = {}

    def matching(self, name: str) -> tuple[LocalChannel, ...]:
        """The local channels of all patterns that match a channel's name."""
        if not self._channels:
            return ()
        # A change replaces it: what another thread finds meanwhile goes into the old one.
        known = self._found
        found = known.get(name)
        if found is None:
            if len(known) >= REMEMBERED:
                known.clear()
            parts = name.split("/")
            candidates = [beginnings.get(name[:length], {}) for length, beginnings in list(self._by_length.items())]
            found = known[name] = tuple(
                channel for here in candidates for channel, pattern in list(here.items()) if pattern.fits(parts)
            )
        return found
