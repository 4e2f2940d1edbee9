"""What a browser sees on a channel's own URL."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def channel_page(request: HttpRequest, name: str) -> HttpResponse:
    """The page of the channel ``name``."""
    return HttpResponse(name, content_type="text/plain; charset=utf-8")
