"""The path of a listener: what it means to Django, and what to ask a server for."""

from __future__ import annotations

import re
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.urls.converters import DEFAULT_CONVERTERS, get_converters
from django.urls.resolvers import RoutePattern

from eventcast.engine import names, patterns
from eventcast.exceptions import InvalidChannel, InvalidPattern


class Route:
    """A route as Django's ``path()`` has it, with a leading slash and any converters; without any, one channel.

    :param path: such as ``"/orders/<int:id>"``.
    :raises ImproperlyConfigured: it is no such route.
    """

    def __init__(self, path: str) -> None:
        if not isinstance(path, str) or not path.startswith("/"):
            raise ImproperlyConfigured(f"A path is absolute, such as '/orders/<int:id>', not {path!r:.100}.")
        if {"<", ">"} & set(re.sub(r"<[^<>]*>", "", path)):
            raise ImproperlyConfigured(f"A converter is written as in '/orders/<int:id>', not as in {path!r:.200}.")
        try:
            names.check_channel(path)
            self._route = RoutePattern(path, is_endpoint=True)
            self._expression = self._route.regex  # compiled only now, when two of one name are found out
        except InvalidChannel as error:
            raise ImproperlyConfigured(f"The path {path!r:.200} names no channel: {error}") from error
        except re.error as error:
            raise ImproperlyConfigured(f"The path {path!r:.200} cannot be compiled: {error}.") from error
        self.path = path
        self.parameters = tuple(self._route.converters)
        """The names of what is cut out of a channel's name."""
        self.pattern = _tightest(path) if self.parameters else None
        """The tightest pattern that a server can match and that has all of its channels; None if it is one channel."""

    def has(self, channel: str) -> bool:
        """Whether the channel looks like one of its own; what the converters make of it may still say no.

        Cheap, and calls nothing of the site's.
        """
        return self.pattern in (None, self.path) or self._expression.search(channel) is not None

    def match(self, channel: str) -> dict[str, Any] | None:
        """What the converters make of the channel's name, as keyword arguments; None if it is not one of its own."""
        found = self._route.match(channel)
        return None if found is None else found[2]


def _tightest(path: str) -> str:
    """``path``, or as much of it from the left as a server can match, with ``<path:rest>`` for all that follows."""
    if _can_be_served(path):
        return path
    segments = path.split("/")
    for last in range(len(segments) - 1, 0, -1):
        head = "/".join(segments[:last]) + "/" + segments[last].partition("<")[0]
        # A rest that may be nothing is not what <path:rest> matches: then there must be more of it.
        rest = RoutePattern(path[len(head) :], is_endpoint=True)
        if _can_be_served(head + "<path:rest>") and rest.regex.search("") is None:
            return head + "<path:rest>"
    return "/<path:rest>"


def _can_be_served(path: str) -> bool:
    try:
        pattern = patterns.parse(path)
    except (InvalidPattern, InvalidChannel):
        return False
    # A site may, up to Django 5.2, have registered another converter by the name of one of Django's.
    known = get_converters()
    return all(known[segment.kind] is DEFAULT_CONVERTERS[segment.kind] for segment in pattern.segments if segment.kind)
