"""A channel's messages as a stream for the admin, which ends when its user loses the permission."""

from __future__ import annotations

import copy
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.contrib import auth
from django.db import close_old_connections
from django.http import HttpRequest, StreamingHttpResponse

from eventcast.http import streams
from eventcast.security.admission import Permit

RECHECK = 15.0
"""Seconds between two checks of the user's permission, at the next message or keep-alive: the stream ends within half
a minute after its user was logged out, was deactivated or lost the permission."""


def tail(request: HttpRequest, channel: str, permitted: Callable[[HttpRequest], bool]) -> StreamingHttpResponse:
    """The messages of ``channel`` as Server-Sent Events. Call it in the thread of a sync view.

    :param permitted: tells whether the user of a request may watch; called from time to time.
    :raises StreamingUnavailable, LayerUnavailable: as :func:`eventcast.http.streams.stream`.
    """
    scope: Any = getattr(request, "scope", None)
    if scope is not None:
        scope["user"] = request.user  # shown in the list of subscribers, because this stream is one of them
    # The stream belongs to the event loop, and this thread has none.
    response = async_to_sync(_open)(request, channel, permitted)
    _release_database()
    return response


async def _open(request: HttpRequest, channel: str, permitted: Callable[[HttpRequest], bool]) -> StreamingHttpResponse:
    response = streams.stream(request, channel, streams.SSE, Permit())
    response.streaming_content = _while_permitted(response.streaming_content, request, permitted)
    return response


async def _while_permitted(
    pieces: Any, request: HttpRequest, permitted: Callable[[HttpRequest], bool]
) -> AsyncIterator[bytes]:
    checked = time.monotonic()
    async for piece in pieces:
        if time.monotonic() - checked >= RECHECK:
            if not await sync_to_async(_check)(request, permitted):
                return
            checked = time.monotonic()
        yield piece


def _check(request: HttpRequest, permitted: Callable[[HttpRequest], bool]) -> bool:
    """Check the permission of the session's current user: another request may have changed or ended the session."""
    now, session = copy.copy(request), request.session
    now.session = type(session)(session.session_key)
    now.user = auth.get_user(now)
    try:
        return permitted(now)
    finally:
        _release_database()


def _release_database() -> None:
    # This request lasts as long as the page is open, and must not hold a database connection so long.
    close_old_connections()
