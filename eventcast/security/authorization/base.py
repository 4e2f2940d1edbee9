"""The base class of all authorizations, and the default that allows everything."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Literal, TypeAlias

from django.http import HttpRequest

from eventcast.engine.patterns import Pattern
from eventcast.security.authorization.permits import Permit
from eventcast.security.clients import describe_user

Action = Literal["publish", "subscribe"]

Answer: TypeAlias = "bool | Permit | Awaitable[bool | Permit]"
"""True or False, or a :class:`Permit` in place of True; at once or by a coroutine."""


class Authorization:
    """Decides what a client may do. Name a subclass in ``EVENTCAST["AUTHORIZATION"]``; it is made once, without
    arguments.

    Each method is a plain function or an ``async def``. The request is a Django request in every case: for a WebSocket
    it is the ``GET`` of its handshake, which has been through no middleware. The body is not read yet: do not read it.

    False is answered with 401 where :meth:`user_of` knows no user, else with 403. To say more, raise
    ``eventcast.exceptions.Unauthorized`` or ``Forbidden`` with a detail of your own: it is sent to the client and
    written into the log, so no secret may stand in it.

    A method that is not overridden refuses.
    """

    uses_cookies: Any = True
    """Whether it knows users by what a browser sends by itself, on requests that other sites' pages make too: a cookie,
    a login of HTTP's own, a client certificate. ``request.user`` mostly rests on one of them. Set it to False only
    where every yes rests on what a page has to add itself, such as ``Authorization: Bearer …``."""

    uses_database = True
    """Whether its plain functions may wait, for a database or anything else. They run in a thread then."""

    def can_publish(self, request: HttpRequest, channel: str) -> Answer:
        """Whether the client may publish to a channel."""
        return False

    def can_subscribe(self, request: HttpRequest, channel: str) -> Answer:
        """Whether the client may subscribe to a channel, and see its subscribers."""
        return False

    def can_subscribe_pattern(self, request: HttpRequest, pattern: Pattern) -> Answer:
        """Whether the client may subscribe to *every* channel that a pattern matches, and list them.

        ``Pattern.covers`` tells whether a pattern that you would allow holds all of the one that is asked for.
        """
        return False

    def user_of(self, request: HttpRequest) -> str:
        """The name of the user that sends the request; empty if it is not known.

        Called where the other methods answer True or False. By default the user that middleware has found.
        """
        return describe_user({"user": middleware_user(request)})

    @classmethod
    def problems(cls) -> list[str]:
        """What is wrong with its settings, for ``manage.py check``: a sentence each."""
        return []


class ByAction(Authorization):
    """An authorization with one method for all questions, as the shipped ones are."""

    def permit(self, action: Action, request: HttpRequest, wanted: str | Pattern) -> Permit | Awaitable[Permit]:
        """The permit of a client that may do this.

        :raises Unauthorized, Forbidden: the client may not.
        """
        raise NotImplementedError

    def can_publish(self, request: HttpRequest, channel: str) -> Answer:
        """As :meth:`permit`."""
        return self.permit("publish", request, channel)

    def can_subscribe(self, request: HttpRequest, channel: str) -> Answer:
        """As :meth:`permit`."""
        return self.permit("subscribe", request, channel)

    def can_subscribe_pattern(self, request: HttpRequest, pattern: Pattern) -> Answer:
        """As :meth:`permit`."""
        return self.permit("subscribe", request, pattern)


class Open(ByAction):
    """Every client may do everything. The default."""

    uses_cookies = False
    uses_database = False

    def permit(self, action: Action, request: HttpRequest, wanted: str | Pattern) -> Permit:
        """Yes."""
        return UNLIMITED


UNLIMITED = Permit()


def described(action: Action, wanted: str | Pattern) -> str:
    """What a client would do, in the words of a refusal."""
    if isinstance(wanted, Pattern):
        return f"{action} to all of these channels"
    return f"{action} to this channel"


def middleware_user(request: HttpRequest) -> Any:
    """The user that Django's middleware has found, for a WebSocket that of Channels; None where no middleware ran."""
    user = getattr(request, "user", None)
    return getattr(request, "scope", {}).get("user") if user is None else user
