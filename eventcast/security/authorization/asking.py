"""Asks the authorization that the settings name: in a thread if it may wait. Its answer must be clear."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.http import HttpRequest
from django.utils.module_loading import import_string

from eventcast.conf import conf, left_open, setting_of_django, worked_out
from eventcast.engine.background import in_task
from eventcast.engine.patterns import Pattern
from eventcast.exceptions import Forbidden, Refused, Unauthorized
from eventcast.security import users
from eventcast.security.authorization.base import Action, Authorization, described
from eventcast.security.authorization.permits import Permit
from eventcast.security.threads import in_thread
from eventcast.security.users import SessionClaim

logger = logging.getLogger("eventcast.subscribe")


def current() -> Authorization:
    """The authorization of the settings; made once for the settings there are.

    :raises ImproperlyConfigured: ``EVENTCAST["AUTHORIZATION"]`` names no such class, or the class' settings are wrong.
    """
    return instance(conf.AUTHORIZATION)


def instance(path: str) -> Authorization:
    """The authorization of the class with this dotted path, likewise."""
    made = worked_out("eventcast authorizations")
    found: Authorization | None = made.get(path)
    if found is None:
        kind = find(path)
        problems = kind.problems()
        if path == conf.AUTHORIZATION and (problem := left_open(setting_of_django("EVENTCAST", {}))):
            problems = [problem]
        if problems:
            raise ImproperlyConfigured(" ".join(problems))
        found = made[path] = kind()
    return found


def find(path: str) -> type[Authorization]:
    """The class with this dotted path."""
    try:
        kind = import_string(path)
    except (ImportError, AttributeError, TypeError) as error:
        raise ImproperlyConfigured(f"The authorization {path!r} cannot be imported: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Authorization)):
        raise ImproperlyConfigured(
            f"The authorization {path!r} is no subclass of eventcast.authorization.Authorization."
        )
    return kind


def ask(
    authorization: Authorization, action: Action, request: HttpRequest, wanted: str | Pattern
) -> Permit | Coroutine[Any, Any, Permit]:
    """Ask an authorization, for example the :func:`current` one; what it says, at once if that waits for nothing."""
    method: Callable[..., Any] = authorization.can_publish
    if action == "subscribe":
        method = authorization.can_subscribe_pattern if isinstance(wanted, Pattern) else authorization.can_subscribe
    if authorization.uses_cookies:
        users.attach(request)
    if authorization.uses_database and not inspect.iscoroutinefunction(method):
        answer: Any = in_thread(method, request, wanted)
    else:
        answer = method(request, wanted)
        if isinstance(answer, Permit):
            return answer

    async def decided(answer: Any) -> Permit:
        if inspect.isawaitable(answer):
            answer = await in_task(answer)
        if isinstance(answer, Permit):
            return answer
        if not isinstance(answer, bool):
            # A coroutine that is not awaited, or a queryset, would count as a yes.
            raise TypeError(f"{method.__qualname__}() returns True, False or a Permit, not {type(answer).__name__}.")
        if authorization.uses_database or "HTTP_COOKIE" in request.META:
            permit = await in_thread(permit_of, authorization, method, request, wanted)
        else:
            permit = permit_of(authorization, method, request, wanted)
        if answer:
            return permit
        if permit.user:
            raise Forbidden("{user} may not {action}.", user=permit.user, action=described(action, wanted))
        raise Unauthorized("Log in, or send a key or a token, to {action}.", action=described(action, wanted))

    return decided(answer)


def permit_of(
    authorization: Authorization, method: Callable[..., Any], request: HttpRequest, wanted: str | Pattern
) -> Permit:
    """The permit of a client to which a class of the site's own says yes."""
    name = authorization.user_of(request)
    user, session_key = users.logged_in(request) if authorization.uses_cookies else (None, None)
    if user is None or user.pk is None:
        return Permit(name)
    claim = AnswerClaim(session_key, user.pk, "", method, _kept(request), wanted)
    return Permit(name, claims=(claim,), identity=users.identity_of(user) if name == users.name_of(user) else "")


@dataclass(frozen=True)
class AnswerClaim(SessionClaim):
    """The yes of a class of the site's own to a user: it holds while the user is logged in, and the class says yes."""

    method: Callable[..., Any]
    request: HttpRequest
    wanted: str | Pattern

    @classmethod
    def lapsed(cls, claims: Sequence[SessionClaim]) -> Collection[SessionClaim]:
        """As that of sessions. A class that fails for one subscriber keeps the others from nothing."""
        found: list[SessionClaim] = []
        for claim in claims:
            try:
                found += [] if claim.holds() else [claim]
            except DatabaseError:
                raise
            except Exception:
                logger.exception("Asking again for a permission failed; retrying.")
        return found

    def allows(self, user: Any, session: Any) -> bool:
        """Ask the method again, in a thread; a coroutine runs in the event loop of the server."""
        asking: Any = copy.copy(self.request)
        asking.user = user
        if self.session_key is not None:
            asking.session = session
        users.attach(asking)
        try:
            answer = self.method(asking, self.wanted)
            return bool(async_to_sync(_wait)(answer) if inspect.isawaitable(answer) else answer)
        except Refused:
            return False


async def _wait(answer: Any) -> Any:
    return await answer


def _kept(request: HttpRequest) -> HttpRequest:
    """A copy to be asked about later, without the connection and without what is read anew."""
    kept = copy.copy(request)
    for name in ("user", "auser", "session", "_cached_user", "_acached_user"):
        vars(kept).pop(name, None)
    kept.resolver_match = request.resolver_match
    if (scope := vars(request).get("scope")) is not None:
        kept.scope = {key: scope[key] for key in scope if key not in ("eventcast.protocol", "session", "user")}  # type: ignore[attr-defined]
    return kept
