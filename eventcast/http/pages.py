"""What a browser sees on a channel's own URL: its messages as they come, and a box to send one."""

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

    It is a page of the server, not of the site: rendered without the site's context processors, for they may ask the
    database, which an event loop must not wait for. A template ``eventcast/channel.html`` of the site goes before ours.
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
    # The same URL is JSON to a script: a page from the browser's cache must not be taken for it, nor the reverse.
    response["Cache-Control"] = "no-store"
    return response


def content_security_policy(host: str, static_url: str) -> str:
    """What the page may load and do: its own scripts and styles, this server, and nothing else.

    :param host: the host of the request, whose sockets are named because older browsers don't count them as ``'self'``.
    :param static_url: where static files are; another host is allowed if they come from there.
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
        # The site has no template engine, or one that does not look into apps: three edits are to be enough.
        return _own_engine().get_template(TEMPLATE).render(Context(context))


@cache
def _own_engine() -> Engine:
    return Engine(
        dirs=[str(Path(eventcast.__file__).parent / "templates")],
        libraries={"static": "django.templatetags.static"},
        autoescape=True,
    )
