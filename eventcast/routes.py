"""The path of a listener or of a snapshot: a route of Django's, and the pattern that a server can match."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.urls.converters import DEFAULT_CONVERTERS, get_converters
from django.urls.resolvers import RoutePattern

from eventcast.engine import names, patterns
from eventcast.exceptions import InvalidChannel, InvalidPattern


class Route:
    """A route of Django's ``path()`` with a leading slash. Without converters, it is one channel.

    :param path: such as ``"/orders/<int:id>"``.
    :raises ImproperlyConfigured: ``path`` is not such a route.
    """

    def __init__(self, path: str) -> None:
        if not isinstance(path, str) or not path.startswith("/"):
            raise ImproperlyConfigured(f"A path is absolute, such as '/orders/<int:id>', not {path!r:.100}.")
        if {"<", ">"} & set(re.sub(r"<[^<>]*>", "", path)):
            raise ImproperlyConfigured(f"A converter is written as in '/orders/<int:id>', not as in {path!r:.200}.")
        try:
            names.check_channel(path)
            self._route = RoutePattern(path, is_endpoint=True)
            self._expression = self._route.regex  # compiled now: this finds two converters of one name
        except InvalidChannel as error:
            raise ImproperlyConfigured(f"The path {path!r:.200} names no channel: {error}") from error
        except re.error as error:
            raise ImproperlyConfigured(f"The path {path!r:.200} cannot be compiled: {error}.") from error
        self.path = path
        self.parameters = tuple(self._route.converters)
        """The names of the values that the converters cut out of a channel's name."""
        self.pattern = _narrowest(path) if self.parameters else None
        """The narrowest pattern that a server can match and that contains all of the route's channels; None for one
        channel."""

    def check_takes(self, function: Callable[..., Any], first: str, name: str) -> None:
        """Check that a function takes one argument, and each value that the route cuts out of a channel's name.

        :param first: what that argument is.
        :param name: of the function, for the error.
        :raises ImproperlyConfigured: it does not.
        """
        try:
            inspect.signature(function).bind(None, **dict.fromkeys(self.parameters))
        except TypeError as error:
            called = ", ".join([first, *(f"{parameter}=…" for parameter in self.parameters)])
            raise ImproperlyConfigured(
                f"{name} cannot be called as its path {self.path!r} needs it, with ({called}): {error}."
            ) from error

    def has(self, channel: str) -> bool:
        """Whether a channel matches the route's regular expression. The converters may still refuse it.

        This is cheap, and runs no code of the site.
        """
        return self.pattern in (None, self.path) or self._expression.search(channel) is not None

    def match(self, channel: str) -> dict[str, Any] | None:
        """The converters' values for a channel's name, as keyword arguments; None if the channel does not match."""
        found = self._route.match(channel)
        return None if found is None else found[2]


def _narrowest(path: str) -> str:
    """``path``, or the part from its left that a server can match, followed by ``<path:rest>``."""
    if _can_be_served(path):
        return path
    segments = path.split("/")
    for last in range(len(segments) - 1, 0, -1):
        head = "/".join(segments[:last]) + "/" + segments[last].partition("<")[0]
        # <path:rest> does not match an empty rest: if the rest may be empty, it must begin earlier.
        rest = RoutePattern(path[len(head) :], is_endpoint=True)
        if _can_be_served(head + "<path:rest>") and rest.regex.search("") is None:
            return head + "<path:rest>"
    return "/<path:rest>"


def _can_be_served(path: str) -> bool:
    try:
        pattern = patterns.parse(path)
    except (InvalidPattern, InvalidChannel):
        return False
    # Up to Django 5.2, a site may have registered its own converter with the name of one of Django's.
    known = get_converters()
    return all(known[segment.kind] is DEFAULT_CONVERTERS[segment.kind] for segment in pattern.segments if segment.kind)
