"""Django's views: a channel's own URL, and the server's own paths below ``<mount>-/``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any

from django.db import connections, transaction
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt

from eventcast.exceptions import ReservedChannel
from eventcast.http import channels, own_paths, pages
from eventcast.http.answers import Answer, View, answering
from eventcast.server import daphne


def view(function: View) -> Callable[[HttpRequest], Coroutine[Any, Any, HttpResponseBase]]:
    """A Django view of a function that returns an :class:`Answer` or raises what it refuses.

    The view is exempt from what a site may demand of all its views, because publishers are programs: from CSRF
    protection (a program has no CSRF token, and the Origin keeps other sites' pages out), from the redirect to the
    login page (authorization is eventcast's own), and from ATOMIC_REQUESTS (an async view cannot run in a transaction).

    Any client may claim a root path by ``Daphne-Root-Path`` under plain Daphne, and Django takes it off the path to
    find its view. A root path that only the client has claimed is refused.
    """

    @answering
    async def answered(request: HttpRequest) -> Any:
        scope = getattr(request, "scope", {})
        if scope.get("root_path") and daphne.without_spoofed_root_path(scope, daphne.find_protocol(scope)) is not scope:
            raise ReservedChannel("There is no channel here: this is not the server's root path.")
        return await function(request)

    @functools.wraps(function)
    async def django_view(request: HttpRequest) -> HttpResponseBase:
        response = await answered(request)
        return response.for_django() if isinstance(response, Answer) else response

    exempt = csrf_exempt(django_view)
    exempt.login_required = False  # type: ignore[attr-defined]  # Django's LoginRequiredMiddleware
    for alias in connections:
        exempt = transaction.non_atomic_requests(using=alias)(exempt)
    return exempt


@view
async def channel(request: HttpRequest) -> Any:
    """A channel's own URL: publish (POST, PUT); listen, look at it or ask about it (GET)."""
    return await channels.serve(request, channels.channel_of(request))


@view
async def start(request: HttpRequest) -> Any:
    """The path of a mount itself: for a browser the start page, for all others the channel of this name. The channel's
    own page is at ``?channel``."""
    if not request.META["QUERY_STRING"] and _asks_for_page(request):
        response = pages.start_page(request)
        patch_vary_headers(response, ["Accept"])
        return response
    return await channels.serve(request, channels.channel_of(request))


@view
async def slash_for_browsers(request: HttpRequest) -> Any:
    """A path without its last slash, such as ``/admin``: a browser is redirected, all others mean the channel."""
    if _asks_for_page(request):
        return HttpResponseRedirect(request.path + "/")
    return await channels.serve(request, channels.channel_of(request))


def _asks_for_page(request: HttpRequest) -> bool:
    # A POST of a browser is a message, which a page or a redirection would lose.
    return request.method in ("GET", "HEAD") and channels.form_of(request.META) == pages.HTML


list_channels = view(own_paths.list_channels)
figures = view(own_paths.figures)
probe = view(own_paths.probe)
subscribe = view(own_paths.subscribe)
reserved = view(own_paths.reserved)
