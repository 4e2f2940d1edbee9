"""The base class of all authorizations, and the default that allows everything."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Literal, TypeAlias

from django.http import HttpRequest

from eventcast.engine.patterns import Pattern
from eventcast.exceptions import Sentence
from eventcast.security import users
from eventcast.security.authorization.permits import Permit

Action = Literal["publish", "subscribe"]

Answer: TypeAlias = "bool | Permit | Awaitable[bool | Permit]"
"""True or False, or a :class:`Permit` in place of True; at once or by a coroutine."""


class Authorization:
    """Decides what a client may do. Name a subclass in ``EVENTCAST["AUTHORIZATION"]``; it is made once, without
    arguments.

    Each method is a plain function or an ``async def``. The request is a Django request in every case: for a WebSocket
    it is the ``GET`` of its handshake. It has ``user`` and ``session``, read when they are used, and ``auser()`` for an
    ``async def``; where no middleware ran, by the cookie of the session. The body is not read yet: do not read it.

    False is answered with 401 where :meth:`user_of` knows no user, else with 403. To say more, raise
    ``eventcast.exceptions.Unauthorized`` or ``Forbidden`` with a detail of your own: it is sent to the client and
    written into the log, so no secret may stand in it.

    A subscriber to which True was said, and that is a user of the site, is asked about again every
    ``RECHECK_INTERVAL`` seconds. It is disconnected when its session is over, the user is deactivated, or the answer is
    no longer True. A :class:`Permit` names itself what it rests on.

    A method that is not overridden refuses.
    """

    uses_cookies: Any = True
    """Whether it knows users by what a browser sends by itself, on requests that other sites' pages make too: a cookie,
    a login of HTTP's own, a client certificate. ``request.user`` mostly rests on one of them. Set it to False only
    where every yes rests on what a page has to add itself, such as ``Authorization: Bearer …``; then no session is
    read, and ``request.user`` is there only where middleware has put it."""

    uses_database = True
    """Whether its plain functions may wait, for a database or anything else. They run in a thread then."""

    told_by_head = False
    """Whether its permits to publish rest on nothing but the headers, the channel and the settings. Requests with the
    same head are then asked about once. For the classes of eventcast only."""

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
        """The name of the user that sends the request; empty if it is not known. By default that of ``request.user``.

        Called where the other methods answer True or False.
        """
        return users.name_of(getattr(request, "user", None))

    def deciders(self, action: Action, wanted: str | Pattern) -> list[Authorization]:
        """The authorizations that all have to allow this: itself, where it asks no others."""
        return [self]

    @classmethod
    def problems(cls) -> list[str]:
        """What is wrong with its settings, for ``manage.py check``: a sentence each."""
        return []


class ByAction(Authorization):
    """An authorization with one method for all questions, as the shipped ones are."""

    def permit(self, action: Action, request: HttpRequest, wanted: str | Pattern) -> Permit | Awaitable[Permit]:
        """The permit of a client that may do this; raises ``Unauthorized`` or ``Forbidden`` for any other."""
        raise NotImplementedError

    def can_publish(self, request: HttpRequest, channel: str) -> Answer:
        return self.permit("publish", request, channel)

    def can_subscribe(self, request: HttpRequest, channel: str) -> Answer:
        return self.permit("subscribe", request, channel)

    def can_subscribe_pattern(self, request: HttpRequest, pattern: Pattern) -> Answer:
        return self.permit("subscribe", request, pattern)


class Open(ByAction):
    """Every client may do everything. The default."""

    uses_cookies = False
    uses_database = False
    told_by_head = True

    def permit(self, action: Action, request: HttpRequest, wanted: str | Pattern) -> Permit:
        return UNLIMITED


UNLIMITED = Permit()


def described(action: Action, wanted: str | Pattern) -> Sentence:
    """What a client would do, in the words of a refusal."""
    if action == "publish":
        return Sentence("publish to this channel")
    if isinstance(wanted, Pattern):
        return Sentence("subscribe to all of these channels")
    return Sentence("subscribe to this channel")
