"""Headers that let pages of other origins read our answers (CORS, the Fetch standard), if they may send the request.

The package django-cors-headers says the same for a whole site, as a middleware: a POST on the short way past the
middleware would go without, a WebSocket has no such headers at all, and it refuses no request. Where a site has it, it
comes after us and its headers replace ours one by one, so none is there twice.
"""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from eventcast.security import admission, origins

METHODS = "GET, HEAD, POST, PUT"
HEADERS = "Authorization, Content-Type, Last-Event-ID, X-API-Key, traceparent, tracestate, baggage, sentry-trace"
"""What pages may send besides what they may send anyway. OpenTelemetry and Sentry add the last four to the requests of
pages that they trace."""

EXPOSED = "Retry-After"
"""What pages may read besides what they may read anyway."""

MAX_AGE = 7200
"""Seconds for which a browser need not ask again; Chromium takes no more."""


def preflight(request: HttpRequest) -> dict[str, str] | None:
    """The headers of the answer to a browser that asks, before a page's own request, if that may be sent; None for any
    other request. :func:`share` adds the origin.

    :raises OriginNotAllowed: it may not be sent. Browsers don't tell the page why, but developer tools show it.
    """
    meta = request.META
    if request.method != "OPTIONS" or not {"HTTP_ORIGIN", "HTTP_ACCESS_CONTROL_REQUEST_METHOD"} <= meta.keys():
        return None
    origins.check(request, cookies=admission.cookies_count())
    return {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": HEADERS,
        "Access-Control-Max-Age": str(MAX_AGE),
    }


def share(request: HttpRequest, response: HttpResponseBase) -> None:
    """Let the page that asked read the answer, be it a refusal, if it is one of those that may ask: where cookies let
    clients in, one that is named in ``ALLOWED_ORIGINS``."""
    origin = request.META.get("HTTP_ORIGIN")
    if origin is None and request.method in ("POST", "PUT"):
        return  # Most requests: a program publishes, and no cache keeps the answer.
    patch_vary_headers(response, ["Origin"])
    cookies = admission.cookies_count()
    if origin is None or origins.is_own(request, origin) or not origins.allowed().lets_in(origin, cookies=cookies):
        return
    response["Access-Control-Allow-Origin"] = origin
    response["Access-Control-Expose-Headers"] = EXPOSED
    if cookies:
        response["Access-Control-Allow-Credentials"] = "true"
