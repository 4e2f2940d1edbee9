"""The channel's page: a browser that opens a channel's URL sees its messages and can send one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine, TemplateDoesNotExist, loader
from django.templatetags.static import static

import eventcast
from eventcast.engine import names

HTML = "text/html"
TEMPLATE = "eventcast/channel.html"


def channel_page(request: HttpRequest, name: str) -> HttpResponse:
    """The page of the channel ``name``.

    The page is rendered without the site's context processors, because they may query the database and block the event
    loop. A template ``eventcast/channel.html`` of the site replaces this package's template.
    """
    context = {
        "name": name,
        "printable": names.printable(name),
        "url": request.build_absolute_uri(names.url_path(name)),
    }
    response = HttpResponse(_render(context))
    response["Content-Security-Policy"] = content_security_policy(request.get_host(), static("eventcast/"))
    response["Referrer-Policy"] = "same-origin"
    response["X-Content-Type-Options"] = "nosniff"
    # A script gets JSON from the same URL, which the browser's cache must not mix up with the page.
    response["Cache-Control"] = "no-store"
    return response


def content_security_policy(host: str, static_url: str) -> str:
    """The page's Content Security Policy: its own scripts and styles, and connections to this server only.

    :param host: the host of the request, listed with ``ws:`` because ``'self'`` has no WebSockets in older browsers.
    :param static_url: the URL of static files. If they are on another host, it is allowed.
    """
    parts = urlsplit(static_url)
    files = f"'self' {parts.scheme or 'https'}://{parts.netloc}" if parts.netloc else "'self'"
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {files}",
            f"style-src {files}",
            f"img-src {files}",
            f"connect-src 'self' ws://{host} wss://{host}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def _render(context: dict[str, Any]) -> str:
    try:
        return loader.get_template(TEMPLATE).render(context)
    except TemplateDoesNotExist:
        # The site has no template engine, or one that does not search apps: the page works without one, too.
        return _own_engine().get_template(TEMPLATE).render(Context(context))


@cache
def _own_engine() -> Engine:
    return Engine(
        dirs=[str(Path(eventcast.__file__).parent / "templates")],
        libraries={"static": "django.templatetags.static"},
        autoescape=True,
    )
