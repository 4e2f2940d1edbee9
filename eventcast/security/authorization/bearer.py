"""Where a request carries a key or a token. Never in its URL: that stands in access logs, histories and referrers."""

from __future__ import annotations

from django.http import HttpRequest

SUBPROTOCOL_PREFIX = "eventcast.token."
"""Begins the WebSocket subprotocol by which browsers say it, for they can set no header."""


def bearer(request: HttpRequest) -> str:
    """What ``Authorization: Bearer`` says (RFC 6750 section 2.1), or, offered beside ``eventcast``, the subprotocol
    ``eventcast.token.…`` of a WebSocket; empty if neither is there."""
    scheme, _, value = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer":
        return str(value.strip())
    for offered in request.META.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(","):
        if offered.strip().startswith(SUBPROTOCOL_PREFIX):
            return str(offered.strip().removeprefix(SUBPROTOCOL_PREFIX))
    return ""
