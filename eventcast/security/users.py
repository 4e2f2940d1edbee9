"""The user of the site behind a request, on every road: as middleware has found it, else by the cookie of a session."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from eventcast.security.authorization.permits import Claim
from eventcast.security.threads import in_thread

AUTHENTICATED, STAFF = "authenticated", "staff"
"""Requirements on a user, beside a permission such as ``"shop.view_order"``."""


def attach(request: Any) -> None:
    """Give a request what middleware would have given it: ``session``, ``user`` and ``auser``. Reads nothing yet.

    Where Channels' middleware ran before a WebSocket, they are those of the scope. The session is not saved.
    """
    scope: Mapping[str, Any] = vars(request).get("scope") or {}
    user, session = (getattr(request, name, None) for name in ("user", "session"))
    user = scope.get("user") if user is None else user
    session = scope.get("session") if session is None else session
    if session is None:
        # A user that middleware knows without a session has none: the site may have no table for them.
        session = _store(request.COOKIES.get(settings.SESSION_COOKIE_NAME) if user is None else None)
    request.session = session
    request.user = SimpleLazyObject(lambda: auth.get_user(request)) if user is None else user
    if not hasattr(request, "auser"):

        async def auser() -> Any:
            await in_thread(lambda: request.user.is_authenticated)
            return request.user

        request.auser = auser


def logged_in(request: Any) -> tuple[Any, str | None]:
    """The user that sends a request, None without one, and the key of its session, if it came by one."""
    attach(request)
    user, session = request.user, request.session
    if not user.is_authenticated:
        return None, None
    return user, session.session_key if str(session.get(auth.SESSION_KEY)) == str(user.pk) else None


def name_of(user: Any) -> str:
    """The name of a user, empty for one that is not logged in, and for None."""
    return str(user.get_username()) if user is not None and user.is_authenticated else ""


def identity_of(user: Any) -> str:
    """The ``Permit.identity`` of a user of the site; empty if it has no primary key."""
    key = getattr(user, "pk", None)
    return "" if key is None else f"user {key}"


def _store(session_key: str | None) -> Any:
    store = importlib.import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    # After a change of SECRET_KEY the session would get another key, and the browser would not learn it.
    store.cycle_key = lambda: None
    return store


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
        user: Any
        asking: Any = HttpRequest()
        asking.session = _store(self.session_key)
        if self.session_key is None:
            user = auth.get_user_model()._default_manager.filter(pk=self.user_id, is_active=True).first()
        else:
            user = auth.get_user(asking)
        return user is not None and user.pk == self.user_id and self.allows(user, asking.session)

    def allows(self, user: Any, session: Any) -> bool:
        """Whether the user, still logged in by this session, may still do what it does."""
        return meets(user, self.requirement)


def meets(user: Any, requirement: str | None) -> bool:
    """Whether a user that is logged in meets a requirement; no user meets None."""
    if requirement == AUTHENTICATED:
        return True
    if requirement == STAFF:
        return bool(user.is_staff)
    return requirement is not None and bool(user.has_perm(requirement))
