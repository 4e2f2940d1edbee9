"""What a class that says who may do what looks like, and the one that lets everybody do everything."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeAlias

from django.http import HttpRequest

from eventcast.engine.patterns import Pattern
from eventcast.security.authorization.permits import Permit
from eventcast.security.clients import describe_user

Answer: TypeAlias = "bool | Permit | Awaitable[bool | Permit]"
"""True or False, or a :class:`Permit` in place of True; at once or by a coroutine."""


class Authorization:
    """Who may do what. Name a subclass in ``EVENTCAST["AUTHORIZATION"]``; it is made once, without arguments.

    Each method is a plain function or an ``async def``. The request is a Django request in every case: for a WebSocket
    it is the ``GET`` of its handshake, which has been through no middleware. Its body is not read yet, nor to be read.

    False is answered with 401 where :meth:`user_of` knows nobody, else with 403. To say more, raise
    ``eventcast.exceptions.Unauthorized`` or ``Forbidden`` with a detail of your own: it is sent to the client and
    written into the log, so no secret may stand in it.

    What is not overridden refuses.
    """

    uses_cookies: Any = True
    """Whether it knows people by what a browser sends along by itself, on requests that other sites' pages make too: a
    cookie, a login of HTTP's own, a client certificate. ``request.user`` mostly rests on one of them. Say False only
    where every yes rests on what a page has to add itself, such as ``Authorization: Bearer …``."""

    uses_database = True
    """Whether its plain functions may wait, for a database or anything else. They run in a thread then."""

    def can_publish(self, request: HttpRequest, channel: str) -> Answer:
        """Whether whoever sends the request may publish to a channel."""
        return False

    def can_subscribe(self, request: HttpRequest, channel: str) -> Answer:
        """Whether whoever sends the request may listen to a channel, and ask who does."""
        return False

    def can_subscribe_pattern(self, request: HttpRequest, pattern: Pattern) -> Answer:
        """Whether whoever sends the request may listen to *every* channel that a pattern matches, and list them.

        ``Pattern.covers`` tells whether a pattern that you would allow holds all of the one that is asked for.
        """
        return False

    def user_of(self, request: HttpRequest) -> str:
        """The name of whoever sends the request; empty if it is not known.

        Asked where the other methods answer True or False. By default the user whom middleware has found.
        """
        return describe_user({"user": middleware_user(request)})

    @classmethod
    def problems(cls) -> list[str]:
        """What is wrong with its settings, for ``manage.py check``: a sentence each."""
        return []


class Open(Authorization):
    """Everybody may do everything. The default."""

    uses_cookies = False
    uses_database = False

    def can_publish(self, request: HttpRequest, channel: str) -> Permit:
        """Yes."""
        return EVERYBODY

    def can_subscribe(self, request: HttpRequest, channel: str) -> Permit:
        """Yes."""
        return EVERYBODY

    def can_subscribe_pattern(self, request: HttpRequest, pattern: Pattern) -> Permit:
        """Yes."""
        return EVERYBODY


EVERYBODY = Permit()


def middleware_user(request: HttpRequest) -> Any:
    """The user whom Django's middleware, or Channels' for a WebSocket, has found; None where there was none."""
    user = getattr(request, "user", None)
    return getattr(request, "scope", {}).get("user") if user is None else user
