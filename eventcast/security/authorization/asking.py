"""Asks the authorization that the settings name: in a thread if it may wait. Its answer must be clear."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from asgiref.sync import AsyncToSync, sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.http import HttpRequest
from django.utils.module_loading import import_string

from eventcast.conf import conf, left_open
from eventcast.engine.patterns import Pattern
from eventcast.exceptions import Forbidden, Unauthorized
from eventcast.security.authorization.base import Action, Authorization, described
from eventcast.security.authorization.permits import Permit

Result = TypeVar("Result")

THREADS = 16
"""Threads that authorizations run in. Each may hold a database connection, so there must not be one per handshake."""

_made: tuple[object, dict[str, Authorization]] = (None, {})


def current() -> Authorization:
    """The authorization of the settings; made once for the settings there are.

    :raises ImproperlyConfigured: ``EVENTCAST["AUTHORIZATION"]`` names no such class, or the class' settings are wrong.
    """
    return instance(conf.AUTHORIZATION)


def instance(path: str) -> Authorization:
    """The object of the class with this dotted path; made once for the settings there are.

    :raises ImproperlyConfigured: as :func:`current`.
    """
    global _made
    configured = getattr(settings, "EVENTCAST", None)
    if _made[0] is not configured:
        _made = (configured, {})  # Tests override settings.
    made = _made[1]
    if path not in made:
        kind = find(path)
        problems = kind.problems()
        if path == conf.AUTHORIZATION and (problem := left_open(configured or {})):
            problems = [problem]
        if problems:
            raise ImproperlyConfigured(" ".join(problems))
        made[path] = kind()
    return made[path]


def find(path: str) -> type[Authorization]:
    """The class with this dotted path.

    :raises ImproperlyConfigured: there is none, or it is no subclass of :class:`Authorization`.
    """
    try:
        kind = import_string(path)
    except (ImportError, AttributeError, TypeError) as error:
        raise ImproperlyConfigured(f"The authorization {path!r} cannot be imported: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Authorization)):
        raise ImproperlyConfigured(
            f"The authorization {path!r} is no subclass of eventcast.authorization.Authorization."
        )
    return kind


async def permit(action: Action, request: HttpRequest, wanted: str | Pattern) -> Permit:
    """Ask the authorization of the settings.

    :raises Unauthorized: no user is known; ``Forbidden``: a user is known, and may not.
    """
    return await ask(current(), action, request, wanted)


async def ask(authorization: Authorization, action: Action, request: HttpRequest, wanted: str | Pattern) -> Permit:
    """Ask one authorization; otherwise as :func:`permit`."""
    method = _method(authorization, action, wanted)
    if authorization.uses_database and not inspect.iscoroutinefunction(method):
        answer = await in_thread(method, request, wanted)
    else:
        answer = method(request, wanted)
    if not isinstance(answer, Permit) and inspect.isawaitable(answer):
        answer = await answer
    if isinstance(answer, Permit):
        return answer
    if not isinstance(answer, bool):
        # A coroutine that is not awaited, or a queryset, would count as a yes.
        raise TypeError(f"{method.__qualname__}() returns True, False or a Permit, not {type(answer).__name__}.")
    user = (
        await in_thread(authorization.user_of, request)
        if authorization.uses_database
        else authorization.user_of(request)
    )
    if answer:
        return Permit(user)
    if user:
        raise Forbidden(f"{user} may not {described(action, wanted)}.")
    raise Unauthorized(f"Log in, or send a key or a token, to {described(action, wanted)}.")


def _method(authorization: Authorization, action: Action, wanted: str | Pattern) -> Callable[..., Any]:
    if action == "publish":
        return authorization.can_publish
    return authorization.can_subscribe_pattern if isinstance(wanted, Pattern) else authorization.can_subscribe


async def in_thread(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function that may wait, in one of :data:`THREADS` threads. Its database connections are closed then.

    If a thread waits for this coroutine (``async_to_sync``: WSGI, synchronous middleware, tests), the function runs in
    that thread instead, and so in its database transaction.
    """
    if getattr(AsyncToSync.executors, "current", None) is not None:
        return await sync_to_async(function)(*arguments)
    return cast(Result, await _in_pool(function, *arguments))


def _call(function: Callable[..., Result], *arguments: Any) -> Result:
    try:
        return function(*arguments)
    finally:
        # Whatever CONN_MAX_AGE says: it is about threads that are in use, and these may be idle for days.
        connections.close_all()


_in_pool = sync_to_async(
    _call, thread_sensitive=False, executor=ThreadPoolExecutor(THREADS, thread_name_prefix="eventcast-authorization")
)
