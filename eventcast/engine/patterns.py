"""Patterns of channels, written as Django's ``path()`` writes them: ``/orders/<int:id>/paid``. Pure functions.

What may be in one is what can be matched quickly whatever a client makes of it: at most one converter between two
slashes, ``path`` only at the end, and Django's own converters. Regular expressions never come from a client.
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
"""By a converter's name, whether a part of a text is what it stands for: ``_MATCHERS["int"](text, begin, end)``."""

SUBSCRIBE = "-/subscribe"
"""Where one subscribes by a pattern, below the mount."""

MAX_CONVERTERS = 16
"""Converters in one pattern: bounds the work of a match."""

MAX_SEGMENTS = 32
"""Segments in one that has converters. Names are compared segment by segment with all that still may match."""


@dataclass(frozen=True)
class Segment:
    """What stands between two slashes: literal text, with or without one converter in it."""

    before: str
    kind: str = ""
    """The converter's name; empty where there is none, and ``before`` is all."""
    after: str = ""

    def matches(self, text: str) -> bool:
        """Whether a text is what it stands for. In time that grows with the text's length only."""
        if not self.kind:
            return text == self.before
        begin, end = len(self.before), len(text) - len(self.after)
        if begin >= end or not (text.startswith(self.before) and text.endswith(self.after)):
            return False
        # For 'str' and 'path' that something stands there is enough.
        return self.kind in ("str", "path") or _MATCHERS[self.kind](text, begin, end) is not None

    def covers(self, other: Segment) -> bool:
        """Whether everything that ``other`` matches is matched by this one; may be False where that is not known."""
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
    """Many channels by one name; made by :func:`parse`. Two with the same text are equal."""

    text: str
    """As it was written."""
    segments: tuple[Segment, ...]

    @cached_property
    def literal_prefix(self) -> str:
        """What every channel that matches begins with: the text before the first converter."""
        return self.text.partition("<")[0]

    def matches(self, channel: str) -> bool:
        """Whether the channel is one of those."""
        return self.matches_parts(channel.split("/"))

    def matches_parts(self, parts: list[str]) -> bool:
        """The same for the parts of a channel's name between its slashes. Not by one regular expression: the time grows
        only with the name's length, whatever a client has made of the pattern."""
        count = len(self.segments)
        if self.segments[-1].kind == "path":
            parts = [*parts[: count - 1], "/".join(parts[count - 1 :])]
        return len(parts) == count and all(map(Segment.matches, self.segments, parts))

    def covers(self, other: Pattern) -> bool:
        """Whether every channel that ``other`` matches is surely matched by this one, too."""
        for position, (mine, theirs) in enumerate(zip(self.segments, other.segments, strict=False)):
            if mine.kind == "path" and not mine.before:
                # It goes over slashes: all that is left of the other, which is not nothing.
                rest = other.segments[position:]
                return len(rest) > 1 or not (rest[0].before == "" and not rest[0].kind)
            if not mine.covers(theirs):
                return False
        return len(self.segments) == len(other.segments)

    def __str__(self) -> str:
        return self.text


def query_values(query: str, parameter: str) -> list[str]:
    """What a query string says for a parameter.

    :raises InvalidQuery: it is not percent-encoded UTF-8, or has over 100 parameters.
    """
    if f"{parameter}=" not in query:
        return []
    try:
        # Bytes that are not encoded would be read as UTF-8 by some servers, and as Latin-1 by others.
        query.encode("ascii")
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError:
        raise InvalidQuery("The query is not percent-encoded UTF-8, or has too many parameters.") from None
    return fields.get(parameter, [])


def from_query(query: str, mount: str) -> Pattern:
    """The pattern that a subscription to ``<mount>-/subscribe?pattern=…`` asks for.

    :raises InvalidQuery: it has not one parameter ``pattern``, or as :func:`query_values`.
    :raises InvalidPattern, InvalidChannel: as :func:`parse`; also for what lies outside the mount.
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
    """The pattern that ``text`` means: an absolute path with converters as in Django's ``path()``.

    Known are Django's own: ``str`` (the default), ``int``, ``slug``, ``uuid`` and, at the end only, ``path``. Without
    any it matches the channel of that name.

    :raises InvalidPattern: it cannot be read, or could not be matched quickly: two converters between two slashes,
        ``path`` before the end, two of one name, more than 16 converters, or with one more than 32 segments.
    :raises InvalidChannel, ChannelTooLong: as of a channel's name.
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
