"""The index of patterns: finds those that match the channel of a published message.

Patterns are indexed by their literal prefixes, such as ``/users/42/``. A publish looks up one prefix for each length
that occurs, so a pattern with another prefix costs it nothing. Results are cached until a pattern is added or removed.
Other threads may read: the code iterates over copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from eventcast.engine.fanout import LocalChannel
from eventcast.engine.patterns import Pattern, Segment
from eventcast.layers.bus import ignore

CACHE_SIZE = 256
"""Channel names with a cached result. A publish looks up its name three times, and names repeat."""


class PatternIndex:
    """The local channels of patterns. Patterns that differ only in their parameters' names share one.

    :param on_count: called after each change of the number of their subscribers.
    """

    def __init__(self, on_count: Callable[[str], object] = ignore) -> None:
        self._on_count = on_count
        self._channels: dict[tuple[Segment, ...], LocalChannel] = {}
        self._by_length: dict[int, dict[str, dict[LocalChannel, Pattern]]] = {}
        """The patterns by the length of their literal prefix, then by the prefix."""
        self._cache: dict[str, tuple[LocalChannel, ...]] = {}
        """The results of :meth:`matching`."""

    def __bool__(self) -> bool:
        return bool(self._channels)

    def __iter__(self) -> Iterator[LocalChannel]:
        return iter(list(self._channels.values()))

    def get(self, pattern: Pattern) -> LocalChannel | None:
        """The local channel of a pattern, if it has subscribers."""
        return self._channels.get(pattern.segments)

    def get_or_create(self, pattern: Pattern) -> LocalChannel:
        """The local channel of a pattern; created if there is none."""
        channel = self._channels.get(pattern.segments)
        if channel is None:
            channel = self._channels[pattern.segments] = LocalChannel(pattern.text, self._on_count)
            prefixes = self._by_length.setdefault(len(pattern.literal_prefix), {})
            prefixes.setdefault(pattern.literal_prefix, {})[channel] = pattern
            self._cache = {}
        return channel

    def remove(self, pattern: Pattern) -> None:
        """Remove the local channel of a pattern."""
        channel = self._channels.pop(pattern.segments, None)
        if channel is not None:
            prefixes = self._by_length[len(pattern.literal_prefix)]
            del prefixes[pattern.literal_prefix][channel]
            if not prefixes[pattern.literal_prefix]:
                del prefixes[pattern.literal_prefix]
            if not prefixes:
                del self._by_length[len(pattern.literal_prefix)]
            self._cache = {}

    def matching(self, name: str) -> tuple[LocalChannel, ...]:
        """The local channels of all patterns that match a channel's name."""
        if not self._channels:
            return ()
        # A change replaces the cache: a lookup in another thread then fills the old one.
        cache = self._cache
        found = cache.get(name)
        if found is None:
            if len(cache) >= CACHE_SIZE:
                cache.clear()
            parts = name.split("/")
            candidates = [prefixes.get(name[:length], {}) for length, prefixes in list(self._by_length.items())]
            found = cache[name] = tuple(
                channel
                for here in candidates
                for channel, pattern in list(here.items())
                if pattern.matches_parts(parts)
            )
        return found
