"""The users of the site, known by their sessions, and what each may do."""

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
from eventcast.security.authorization import grants
from eventcast.security.authorization.base import Action, ByAction, described, middleware_user
from eventcast.security.authorization.permits import Claim, Permit, identity_of

ANYBODY, AUTHENTICATED, STAFF = "anybody", "authenticated", "staff"
"""Requirements on a user, beside a permission such as ``"shop.view_order"``."""

FIELDS = {"path", "publish", "subscribe"}


@dataclass(frozen=True)
class Entry:
    """The requirements on a user on some paths; no user meets None."""

    pattern: Pattern
    publish: str | None
    subscribe: str | None


class LoggedOut(Unauthorized):
    """Raised when a request comes without the session of a user."""

    # HTTP has no scheme for a cookie; one that browsers know would make them ask for a password.
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Session realm="eventcast"'}


@dataclass(frozen=True)
class SessionClaim(Claim):
    """A session that lets its user do something; where there is no session, the user itself."""

    session_key: str | None = field(repr=False)
    user_id: Any
    requirement: str

    @classmethod
    def lapsed(cls, claims: Sequence[SessionClaim]) -> Collection[SessionClaim]:
        """Those with a session that is over, or with a user that was deactivated or has lost the permission."""
        return [claim for claim in claims if not claim.holds()]

    def holds(self) -> bool:
        """Whether the claim still holds; asks the database."""
        if self.session_key is not None:
            user = _user_of_session(HttpRequest(), self.session_key)
        else:
            user = auth.get_user_model()._default_manager.filter(pk=self.user_id, is_active=True).first()
        return user is not None and user.pk == self.user_id and _meets(user, self.requirement)


class Sessions(ByAction):
    """A user that is logged in to the site may do what ``EVENTCAST["SESSIONS"]`` says: the first entry that matches the
    path counts. A path that no entry matches is closed.

    The user is the one that middleware has found. Where no middleware ran, as before a WebSocket of
    :class:`~eventcast.routing.EventcastRouter` or a POST of its ``publish_directly``, the session is read here.
    """

    uses_cookies = True

    def __init__(self) -> None:
        self._entries = [
            Entry(patterns.parse(entry["path"]), entry.get("publish"), entry.get("subscribe"))
            for entry in conf.SESSIONS
        ]

    def permit(self, action: Action, request: HttpRequest, wanted: str | Pattern) -> Permit:
        """The permit of a user that may do this.

        :raises Unauthorized, Forbidden: there is no user, or it may not.
        """
        requirements = [getattr(entry, action) for entry in grants.deciding(self._entries, wanted)]
        if requirements and all(requirement == ANYBODY for requirement in requirements):
            return Permit()
        user, session_key = _user_of(request)
        if user is None:
            raise LoggedOut("Log in: no session of a user came with the request.")
        if not requirements or not all(_meets(user, requirement) for requirement in requirements):
            raise Forbidden(f"The user {user.get_username()!r:.100} may not {described(action, wanted)}.")
        claims = {SessionClaim(session_key, user.pk, asked) for asked in requirements if asked and asked != ANYBODY}
        return Permit(user.get_username(), claims=tuple(claims), identity=identity_of(user))

    @classmethod
    def problems(cls) -> list[str]:
        """What is wrong with ``EVENTCAST["SESSIONS"]``."""
        return grants.problems_of_entries("SESSIONS", conf.SESSIONS, "dicts", _problems)


def _user_of(request: HttpRequest) -> tuple[Any, str | None]:
    """The user that sends the request, None if it is not logged in, and the key of its session, if there is one."""
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
    # After a change of SECRET_KEY the session would get another key, and the browser would not learn it.
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
