"""Who gets in: what every request is asked, in one order, before its body is read or its handshake is accepted.

1. Does it come from a page that may send it? (``origins``)
2. May whoever sends it do that? (``authorization``)
3. Is there room for it, and is it not one too many? (``throttling``)

A WebSocket is asked the same as a request, and as one: :func:`request_of_websocket`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from eventcast.engine.patterns import Pattern
from eventcast.exceptions import Refused
from eventcast.security import authorization, origins, throttling
from eventcast.security.authorization import Permit

__all__ = [
    "Permit",
    "check_publish",
    "check_rate",
    "check_subscribe",
    "check_view",
    "check_websocket_publish",
    "cookies_count",
    "request_of_websocket",
]


async def check_publish(request: HttpRequest, channel: str) -> Permit:
    """Let a request publish to a channel.

    :raises Refused: it may not.
    """
    _check_origin(request)
    permit = await authorization.permit("publish", request, channel)
    throttling.check_rate(request, permit.who)
    return permit


async def check_websocket_publish(request: HttpRequest, channel: str) -> Permit:
    """Let a WebSocket, which :func:`check_subscribe` has let listen to a channel, publish to it what its client sends.

    That is asked once, with its handshake; how much it sends is asked of each message, by :func:`check_rate`.

    :raises Refused: it may not.
    """
    return await authorization.permit("publish", request, channel)


def check_rate(request: HttpRequest, permit: Permit) -> None:
    """Let a WebSocket send one message more.

    :param request: its handshake.
    :param permit: what :func:`check_websocket_publish` has let it speak by.
    :raises Refused: it is one too many.
    """
    throttling.check_rate(request, permit.who)


async def check_subscribe(request: HttpRequest, wanted: str | Pattern) -> Permit:
    """Let a request, or the handshake of a WebSocket, subscribe to a channel or to a pattern of channels.

    :raises Refused: it may not.
    """
    _check_origin(request)
    permit = await authorization.permit("subscribe", request, wanted)
    throttling.check_quotas(request, wanted)
    return permit


async def check_view(request: HttpRequest, wanted: str | Pattern) -> None:
    """Let a request ask who listens to a channel, or to all that a pattern matches: whoever may listen, too.

    :raises Refused: it may not.
    """
    _check_origin(request)
    await authorization.permit("subscribe", request, wanted)


def _check_origin(request: HttpRequest) -> None:
    if "HTTP_ORIGIN" in request.META or "HTTP_COOKIE" in request.META:  # Programs have neither.
        origins.check(request, cookies=cookies_count())


def cookies_count() -> bool:
    """Whether somebody may be let in for his cookies, which his browser sends whatever page it shows."""
    return bool(authorization.current().uses_cookies)


def request_of_websocket(scope: Mapping[str, Any]) -> HttpRequest:
    """The handshake of a WebSocket (ASGI scope) as the ``GET`` request that it is (RFC 6455 section 4.1).

    :raises Refused: it cannot be read, as one whose query string is not UTF-8.
    """
    try:
        return ASGIRequest({**scope, "method": "GET"}, io.BytesIO())
    except (ValueError, TypeError) as error:
        raise Refused(f"The request cannot be read: {error!s:.200}.") from None
