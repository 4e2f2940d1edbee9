"""Patterns of channels, in the syntax of Django's ``path()``: ``/orders/<int:id>/paid``. Pure functions.

A pattern of a client must be fast to match. So it has at most one converter between two slashes, ``path`` only at the
end, and only Django's own converters. Clients send no regular expressions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from urllib.parse import parse_qs

from django.urls.converters import DEFAULT_CONVERTERS

from eventcast.conf import conf
from eventcast.engine import names
from eventcast.exceptions import InvalidPattern, InvalidQuery, ReservedChannel

_CONVERTER = re.compile(r"<(?:(?P<kind>[^<>:]*):)?(?P<parameter>[^<>:]*)>")

_MATCHERS = {kind: re.compile(converter.regex).fullmatch for kind, converter in DEFAULT_CONVERTERS.items()}
"""Functions that match a part of a text, by the converter's name: ``_MATCHERS["int"](text, begin, end)``."""

SUBSCRIBE = "-/subscribe"
"""The path below the mount for subscriptions to patterns."""

MAX_CONVERTERS = 16
"""Most converters in a pattern. This bounds the work of a match."""

MAX_SEGMENTS = 32
"""Most segments in a pattern with converters. This bounds the work of a match, too."""


@dataclass(frozen=True)
class Segment:
    """The text between two slashes, with or without one converter."""

    before: str
    kind: str = ""
    """The converter's name; empty if there is none, and ``before`` is the whole text."""
    after: str = ""

    def matches(self, text: str) -> bool:
        """Whether the segment matches a text, in time linear in the text's length."""
        if not self.kind:
            return text == self.before
        begin, end = len(self.before), len(text) - len(self.after)
        if begin >= end or not (text.startswith(self.before) and text.endswith(self.after)):
            return False
        # 'str' and 'path' match any text that is not empty.
        return self.kind in ("str", "path") or _MATCHERS[self.kind](text, begin, end) is not None

    def covers(self, other: Segment) -> bool:
        """Whether this segment matches every text that ``other`` matches; False if that is not certain."""
        same_shape = (self.before, self.after) == (other.before, other.after)
        if not other.kind:
            return self.matches(other.before)
        if other.kind == "path":
            return same_shape and self.kind == "path"
        if self.kind in ("str", "path"):
            return other.before.startswith(self.before) and other.after.endswith(self.after)
        return same_shape and self.kind == other.kind


@dataclass(frozen=True)
class Pattern:
    """A pattern, made by :func:`parse`. Patterns with the same text are equal."""

    text: str
    """The pattern as it was written."""
    segments: tuple[Segment, ...]

    @cached_property
    def literal_prefix(self) -> str:
        """The text before the first converter, with which all matching channels begin."""
        return self.text.partition("<")[0]

    def matches(self, channel: str) -> bool:
        """Whether the pattern matches a channel's name."""
        return self.matches_parts(channel.split("/"))

    def matches_parts(self, parts: list[str]) -> bool:
        """The same for the parts of a channel's name between its slashes, in time linear in its length. A regular
        expression for the whole name would be slow for some patterns."""
        count = len(self.segments)
        if self.segments[-1].kind == "path":
            parts = [*parts[: count - 1], "/".join(parts[count - 1 :])]
        return len(parts) == count and all(map(Segment.matches, self.segments, parts))

    def covers(self, other: Pattern) -> bool:
        """Whether this pattern matches every channel that ``other`` matches; False if that is not certain."""
        for position, (mine, theirs) in enumerate(zip(self.segments, other.segments, strict=False)):
            if mine.kind == "path" and not mine.before:
                # 'path' matches all remaining segments of the other pattern, if they are not empty.
                rest = other.segments[position:]
                return len(rest) > 1 or not (rest[0].before == "" and not rest[0].kind)
            if not mine.covers(theirs):
                return False
        return len(self.segments) == len(other.segments)

    def __str__(self) -> str:
        return self.text


def query_values(query: str, parameter: str) -> list[str]:
    """The values of a parameter in a query string.

    :raises InvalidQuery: the query is not percent-encoded UTF-8, or has over 100 parameters.
    """
    if f"{parameter}=" not in query:
        return []
    try:
        # Some servers would decode raw bytes as UTF-8, others as Latin-1.
        query.encode("ascii")
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError:
        raise InvalidQuery("The query is not percent-encoded UTF-8, or has too many parameters.") from None
    return fields.get(parameter, [])


def from_query(query: str, mount: str) -> Pattern:
    """The pattern of a subscription to ``<mount>-/subscribe?pattern=…``.

    :raises InvalidQuery: the query does not have exactly one ``pattern``, or as :func:`query_values`.
    :raises InvalidPattern, InvalidChannel: as :func:`parse`; also for patterns outside the mount.
    :raises ReservedChannel: pattern subscriptions are turned off (``PATTERN_SUBSCRIPTIONS``).
    """
    if not conf.PATTERN_SUBSCRIPTIONS:
        raise ReservedChannel("Subscribing by a pattern is turned off here (EVENTCAST['PATTERN_SUBSCRIPTIONS']).")
    texts = query_values(query, "pattern")
    if len(texts) != 1:
        raise InvalidQuery("Say once what to listen to: ?pattern=/orders/<int:id>, percent-encoded.")
    pattern = parse(texts[0])
    if not pattern.literal_prefix.startswith(mount):
        raise InvalidPattern("Channels here begin with {mount}, and so do patterns.", mount=mount)
    return pattern


@lru_cache(maxsize=1024)
def parse(text: str) -> Pattern:
    """Parse a pattern: an absolute path with converters as in Django's ``path()``.

    The converters are Django's own: ``str`` (the default), ``int``, ``slug``, ``uuid`` and, at the end only, ``path``.
    A pattern without converters matches the channel of that name.

    :raises InvalidPattern: the syntax is wrong, two converters have one name or stand between two slashes, ``path``
        is not at the end, there are more than 16 converters, or a converter and more than 32 segments.
    :raises InvalidChannel, ChannelTooLong: as for a channel's name.
    """
    names.check_channel(text)
    segments = tuple(_parse_segment(segment, text) for segment in text.split("/"))
    kinds = [segment.kind for segment in segments]
    if "path" in kinds[:-1] or (kinds[-1] == "path" and segments[-1].after):
        raise InvalidPattern(
            "'path' goes over slashes and may stand at a pattern's end only, not as in {text!r:.200}.", text=text
        )
    parameters = [match["parameter"] for match in _CONVERTER.finditer(text)]
    if len(set(parameters)) < len(parameters):
        raise InvalidPattern("Each converter has a name of its own, other than in {text!r:.200}.", text=text)
    if sum(map(bool, kinds)) > MAX_CONVERTERS:
        raise InvalidPattern("A pattern has at most {most} converters.", most=MAX_CONVERTERS)
    if any(kinds) and len(segments) - 1 > MAX_SEGMENTS:
        raise InvalidPattern(
            "A pattern with a converter has at most {most} segments; 'path' stands for more.", most=MAX_SEGMENTS
        )
    return Pattern(text, segments)


def _parse_segment(text: str, whole: str) -> Segment:
    found = list(_CONVERTER.finditer(text))
    literal = _CONVERTER.sub("", text)
    if "<" in literal or ">" in literal:
        raise InvalidPattern("A converter is written as in '/orders/<int:id>', not as in {whole!r:.200}.", whole=whole)
    if not found:
        return Segment(text)
    if len(found) > 1:
        raise InvalidPattern("Between two slashes stands at most one converter, not as in {whole!r:.200}.", whole=whole)
    kind, parameter = found[0]["kind"], found[0]["parameter"]
    kind = "str" if kind is None else kind
    if kind not in DEFAULT_CONVERTERS:
        raise InvalidPattern(
            "There is no converter {kind!r:.50}, only {known}.", kind=kind, known=", ".join(sorted(DEFAULT_CONVERTERS))
        )
    if not parameter.isidentifier():
        raise InvalidPattern("A converter has a name, as in '<int:id>', not {given!r:.50}.", given=found[0][0])
    return Segment(text[: found[0].start()], kind, text[found[0].end() :])
