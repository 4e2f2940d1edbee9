"""The users of the site, as their sessions know them, and what each may do."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest

from eventcast.conf import conf
from eventcast.engine import patterns
from eventcast.engine.patterns import Pattern
from eventcast.exceptions import Forbidden, Unauthorized
from eventcast.security.authorization import grants, ordered
from eventcast.security.authorization.base import Authorization, middleware_user
from eventcast.security.authorization.permits import Claim, Permit, identity_of

ANYBODY, AUTHENTICATED, STAFF = "anybody", "authenticated", "staff"
"""What may be asked of a user, beside a permission such as ``"shop.view_order"``."""

FIELDS = {"path", "publish", "subscribe"}


@dataclass(frozen=True)
class Entry:
    """What is asked of a user on some paths; None asks what nobody has."""

    pattern: Pattern
    publish: str | None
    subscribe: str | None


class LoggedOut(Unauthorized):
    """Raised when a request comes without the session of a user."""

    # HTTP has no scheme for a cookie; one that browsers know would make them ask for a password.
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Session realm="eventcast"'}


@dataclass(frozen=True)
class SessionClaim(Claim):
    """A session, or where there is none a user, who may do something."""

    session_key: str | None = field(repr=False)
    user_id: Any
    requirement: str

    @classmethod
    def lapsed(cls, claims: Sequence[SessionClaim]) -> Collection[SessionClaim]:
        """Those whose session is over, or whose user was deactivated or has lost the permission."""
        return [claim for claim in claims if not claim.holds()]

    def holds(self) -> bool:
        """Whether it still does; asks the database."""
        if self.session_key is not None:
            user = _user_of_session(HttpRequest(), self.session_key)
        else:
            user = auth.get_user_model()._default_manager.filter(pk=self.user_id, is_active=True).first()
        return user is not None and user.pk == self.user_id and _meets(user, self.requirement)


class Sessions(Authorization):
    """Whoever is logged in to the site may do what ``EVENTCAST["SESSIONS"]`` says: of its entries, the first whose path
    matches counts. What none of them names is closed.

    It takes the user whom middleware has found. Where no middleware ran, as before a WebSocket of
    :class:`~eventcast.routing.EventcastRouter` or a POST of its ``publish_directly``, it reads the session itself.
    """

    uses_cookies = True

    def __init__(self) -> None:
        self._entries = [
            Entry(patterns.parse(entry["path"]), entry.get("publish"), entry.get("subscribe"))
            for entry in conf.SESSIONS
        ]

    def can_publish(self, request: HttpRequest, channel: str) -> Permit:
        """Whether the user may publish to the channel.

        :raises Unauthorized, Forbidden: no.
        """
        requirements = [entry.publish for entry in ordered.deciding(self._entries, channel)]
        return self._permit(request, requirements, "publish to this channel")

    def can_subscribe(self, request: HttpRequest, channel: str) -> Permit:
        """Whether the user may listen to the channel.

        :raises Unauthorized, Forbidden: no.
        """
        requirements = [entry.subscribe for entry in ordered.deciding(self._entries, channel)]
        return self._permit(request, requirements, "subscribe to this channel")

    def can_subscribe_pattern(self, request: HttpRequest, pattern: Pattern) -> Permit:
        """Whether the user may listen to all of the pattern's channels.

        :raises Unauthorized, Forbidden: no.
        """
        requirements = [entry.subscribe for entry in ordered.deciding(self._entries, pattern)]
        return self._permit(request, requirements, "subscribe to all of these channels")

    def _permit(self, request: HttpRequest, requirements: list[str | None], what: str) -> Permit:
        if requirements and all(requirement == ANYBODY for requirement in requirements):
            return Permit()
        user, session_key = _user_of(request)
        if user is None:
            raise LoggedOut("Log in: no session of a user came with the request.")
        if not requirements or not all(_meets(user, requirement) for requirement in requirements):
            raise Forbidden(f"The user {user.get_username()!r:.100} may not {what}.")
        claims = {SessionClaim(session_key, user.pk, asked) for asked in requirements if asked and asked != ANYBODY}
        return Permit(user.get_username(), claims=tuple(claims), identity=identity_of(user))

    @classmethod
    def problems(cls) -> list[str]:
        """What is wrong with ``EVENTCAST["SESSIONS"]``."""
        entries: object = conf.SESSIONS
        if not isinstance(entries, list | tuple):
            return ["EVENTCAST['SESSIONS'] is a list of dicts."]
        return [
            f"EVENTCAST['SESSIONS'][{number}]: {problem}"
            for number, entry in enumerate(entries)
            for problem in _problems(entry)
        ]


def _user_of(request: HttpRequest) -> tuple[Any, str | None]:
    """The user who sends the request, None if it is nobody, and the key of the session that says so, if one does."""
    user = middleware_user(request)
    if user is None:
        session_key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        return (_user_of_session(request, session_key) if session_key else None), session_key
    session = getattr(request, "session", None) or getattr(request, "scope", {}).get("session")
    session_key = session.session_key if session is not None and auth.SESSION_KEY in session else None
    return (user if user.is_authenticated else None), session_key


def _user_of_session(request: HttpRequest, session_key: str) -> Any:
    """The user of a session; None if it is over, or its user is deactivated or has another password by now."""
    asking: Any = copy.copy(request)
    asking.session = importlib.import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    # After a change of SECRET_KEY it would get another key, which the browser had to be told.
    asking.session.cycle_key = lambda: None
    user = auth.get_user(asking)
    return user if user.is_authenticated else None


def _meets(user: Any, requirement: str | None) -> bool:
    if requirement in (ANYBODY, AUTHENTICATED):
        return True
    if requirement == STAFF:
        return bool(user.is_staff)
    return requirement is not None and bool(user.has_perm(requirement))


def _problems(entry: object) -> list[str]:
    if not isinstance(entry, dict):
        return ["not a dict, such as {'path': '/orders/<path:any>', 'subscribe': 'authenticated'}."]
    found = [f"{name!r:.50} means nothing; known are {', '.join(sorted(FIELDS))}." for name in {*entry} - FIELDS]
    found += [f"'path': {problem}" for problem in grants.problems([entry.get("path")])]
    return found + [problem for action in ("publish", "subscribe") for problem in _problems_of(entry, action)]


def _problems_of(entry: Mapping[str, Any], action: str) -> list[str]:
    value = entry.get(action)
    if value is None or value in (ANYBODY, AUTHENTICATED, STAFF) or (isinstance(value, str) and value.count(".") == 1):
        return []
    return [f"{action!r} is {ANYBODY!r}, {AUTHENTICATED!r}, {STAFF!r} or a permission such as 'shop.view_order'."]
