"""Which local channels a published message goes to: that of its own name, and those of the patterns that match it.

A pattern that does not match costs a publish next to nothing: patterns stand in a tree by their segments, and a name
goes down it one segment after the other. What is read from other threads is read from copies.
"""

from __future__ import annotations

from collections.abc import Iterator

from eventcast.fanout import LocalChannel
from eventcast.patterns import Pattern, Segment


class _Node:
    """Where the patterns are that begin with the same segments."""

    __slots__ = ("channel", "converters", "literals")

    def __init__(self) -> None:
        self.channel: LocalChannel | None = None
        """What those hear whose pattern ends here."""
        self.literals: dict[str, _Node] = {}
        self.converters: dict[Segment, _Node] = {}

    @property
    def empty(self) -> bool:
        return self.channel is None and not self.literals and not self.converters


class PatternTree:
    """The local channels of patterns. Two patterns that differ only in their parameters' names share one."""

    def __init__(self) -> None:
        self._root = _Node()
        self._channels: dict[tuple[Segment, ...], LocalChannel] = {}

    def __bool__(self) -> bool:
        return bool(self._channels)

    def __iter__(self) -> Iterator[LocalChannel]:
        return iter(list(self._channels.values()))

    def __len__(self) -> int:
        return len(self._channels)

    def get(self, pattern: Pattern) -> LocalChannel | None:
        """The local channel of a pattern, if it has subscribers."""
        return self._channels.get(pattern.segments)

    def make(self, pattern: Pattern) -> LocalChannel:
        """The same; made if there is none."""
        channel = self._channels.get(pattern.segments)
        if channel is None:
            node = self._root
            for segment in pattern.segments:
                if segment.kind:
                    node = node.converters.setdefault(segment, _Node())
                else:
                    node = node.literals.setdefault(segment.before, _Node())
            channel = node.channel = self._channels[pattern.segments] = LocalChannel(pattern.text)
        return channel

    def remove(self, pattern: Pattern) -> None:
        """Forget the local channel of a pattern."""
        if self._channels.pop(pattern.segments, None) is not None:
            self._prune(self._root, pattern.segments)

    def _prune(self, node: _Node, rest: tuple[Segment, ...]) -> None:
        if not rest:
            node.channel = None
            return
        segment = rest[0]
        child = node.converters[segment] if segment.kind else node.literals[segment.before]
        self._prune(child, rest[1:])
        if child.empty and segment.kind:
            del node.converters[segment]
        elif child.empty:
            del node.literals[segment.before]

    def matching(self, name: str) -> list[LocalChannel]:
        """The local channels of all patterns that match a channel's name."""
        if not self._channels:
            return []
        found: list[LocalChannel | None] = []
        nodes, texts = [self._root], name.split("/")
        for position, text in enumerate(texts):
            below = []
            for node in nodes:
                if (child := node.literals.get(text)) is not None:
                    below.append(child)
                for segment, child in list(node.converters.items()) if node.converters else ():
                    if segment.kind == "path":  # the last one of its pattern, which goes over slashes
                        if segment.matches("/".join(texts[position:])):
                            found.append(child.channel)
                    elif segment.matches(text):
                        below.append(child)
            nodes = below
            if not nodes:
                break
        found += [node.channel for node in nodes]
        return [channel for channel in found if channel is not None]
