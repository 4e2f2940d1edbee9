"""A channel's messages as they pass, for as long as whoever hears them may."""

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
"""Seconds after which it is asked again whether the user may listen, when the next message or keep-alive is due: who is
logged out, deactivated or has lost the permission hears nothing more after half a minute."""


def tail(request: HttpRequest, channel: str, permitted: Callable[[HttpRequest], bool]) -> StreamingHttpResponse:
    """The messages of ``channel`` as Server-Sent Events. To be called in the thread of a sync view.

    :param permitted: whether the user of a request may listen; is asked from time to time.
    :raises StreamingUnavailable, LayerUnavailable: as :func:`eventcast.http.streams.stream`.
    """
    scope: Any = getattr(request, "scope", None)
    if scope is not None:
        scope["user"] = request.user  # who stands in the list of subscribers, for this is one of them
    # The stream belongs to the event loop, which this thread has not.
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
    asked = time.monotonic()
    async for piece in pieces:
        if time.monotonic() - asked >= RECHECK:
            if not await sync_to_async(_ask)(request, permitted):
                return
            asked = time.monotonic()
        yield piece


def _ask(request: HttpRequest, permitted: Callable[[HttpRequest], bool]) -> bool:
    """Ask on behalf of the user whom the session means by now: another request may have ended or changed it."""
    now, session = copy.copy(request), request.session
    now.session = type(session)(session.session_key)
    now.user = auth.get_user(now)
    try:
        return permitted(now)
    finally:
        _release_database()


def _release_database() -> None:
    # This request lasts as long as the page is open, and must not keep a connection to the database for it.
    close_old_connections()
