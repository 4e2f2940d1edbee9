"""Which local channels a published message goes to: that of its own name, and those of the patterns that match it.

A pattern that does not match costs a publish next to nothing: patterns stand in a tree by their segments, and a name
goes down it one segment after the other. At each it is looked up by how it begins and ends, so that the work is bounded
by the name's length and not by how many patterns there are. What is read from other threads is read from copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from eventcast.engine.fanout import LocalChannel
from eventcast.engine.patterns import KINDS, Pattern, Segment

REMEMBERED = 256
"""Names of which is remembered what matches them: a publish asks three times, and the next one is often to the same."""

Value = TypeVar("Value")


class _Beginnings(Generic[Value]):
    """Values by a text, found by what begins with it: one look for each length, however many texts there are."""

    __slots__ = ("_by_length",)

    def __init__(self) -> None:
        self._by_length: dict[int, dict[str, Value]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def get(self, text: str, make: Callable[[], Value]) -> Value:
        """The value of a text; made if there is none."""
        values = self._by_length.setdefault(len(text), {})
        return values[text] if text in values else values.setdefault(text, make())

    def remove(self, text: str) -> None:
        values = self._by_length[len(text)]
        del values[text]
        if not values:
            del self._by_length[len(text)]

    def of(self, text: str) -> Iterator[tuple[int, Value]]:
        """The values of the texts that it begins with, with their lengths, and has something left behind."""
        by_length, size = self._by_length, len(text)
        for length in list(by_length) if len(by_length) < size else range(size):
            values = by_length.get(length) if length < size else None
            if values is not None and (value := values.get(text[:length])) is not None:
                yield length, value


class _Node:
    """Where the patterns are that begin with the same segments."""

    __slots__ = ("channel", "converters", "literals", "paths")

    def __init__(self) -> None:
        self.channel: LocalChannel | None = None
        """The local channel of the pattern that ends here."""
        self.literals: dict[str, _Node] = {}
        # Most nodes have neither, and a name may come by thousands.
        self.converters: _Beginnings[_Beginnings[dict[str, _Node]]] | None = None
        """By what stands before the converter, by what stands behind it, backwards, and by its kind."""
        self.paths: _Beginnings[_Node] | None = None
        """By what stands before ``path``, which goes over slashes to the end."""

    @property
    def empty(self) -> bool:
        return self.channel is None and not (self.literals or self.converters or self.paths)

    def child(self, segment: Segment) -> _Node:
        """Where it goes on with a segment; made if there is none."""
        if not segment.kind:
            return self.literals.setdefault(segment.before, _Node())
        if segment.kind == "path":
            self.paths = self.paths or _Beginnings()
            return self.paths.get(segment.before, _Node)
        self.converters = self.converters or _Beginnings()
        kinds = self.converters.get(segment.before, _Beginnings).get(segment.after[::-1], dict)
        return kinds.setdefault(segment.kind, _Node())

    def remove(self, segment: Segment) -> None:
        """Forget where it goes on with a segment, which is there."""
        if not segment.kind:
            del self.literals[segment.before]
        elif segment.kind == "path" and self.paths:
            self.paths.remove(segment.before)
            self.paths = self.paths or None
        elif self.converters:
            endings = self.converters.get(segment.before, _Beginnings)
            kinds = endings.get(segment.after[::-1], dict)
            del kinds[segment.kind]
            if not kinds:
                endings.remove(segment.after[::-1])
            if not endings:
                self.converters.remove(segment.before)
            self.converters = self.converters or None


def _fitting(converters: _Beginnings[_Beginnings[dict[str, _Node]]], text: str) -> Iterator[_Node]:
    """Where it goes on by a converter with what stands between two slashes of a name."""
    backwards, size = text[::-1], len(text)
    for before, endings in converters.of(text):
        for after, kinds in endings.of(backwards[: size - before]):
            for kind, child in list(kinds.items()):
                # For 'str' that something stands there is enough.
                if kind == "str" or KINDS[kind](text, before, size - after):
                    yield child


class PatternTree:
    """The local channels of patterns. Two patterns that differ only in their parameters' names share one."""

    def __init__(self) -> None:
        self._root = _Node()
        self._channels: dict[tuple[Segment, ...], LocalChannel] = {}
        self._found: dict[str, tuple[LocalChannel, ...]] = {}
        """What :meth:`matching` has found since the last change."""

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
                node = node.child(segment)
            channel = node.channel = self._channels[pattern.segments] = LocalChannel(pattern.text)
            self._found = {}
        return channel

    def remove(self, pattern: Pattern) -> None:
        """Forget the local channel of a pattern."""
        if self._channels.pop(pattern.segments, None) is not None:
            self._prune(self._root, pattern.segments)
            self._found = {}

    def _prune(self, node: _Node, rest: tuple[Segment, ...]) -> None:
        if not rest:
            node.channel = None
            return
        child = node.child(rest[0])
        self._prune(child, rest[1:])
        if child.empty:
            node.remove(rest[0])

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
            found = known[name] = tuple(self._match(name))
        return found

    def _match(self, name: str) -> list[LocalChannel]:
        found: list[LocalChannel | None] = []
        nodes, begin = [self._root], 0
        for text in name.split("/"):
            below: list[_Node] = []
            for node in nodes:
                if (child := node.literals.get(text)) is not None:
                    below.append(child)
                if (converters := node.converters) is not None:
                    below += _fitting(converters, text)
                if (paths := node.paths) is not None:
                    found += [child.channel for _, child in paths.of(name[begin:])]
            nodes = below
            if not nodes:
                break
            begin += len(text) + 1
        found += [node.channel for node in nodes]
        return [channel for channel in found if channel is not None]
