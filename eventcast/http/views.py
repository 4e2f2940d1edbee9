"""The HTTP side: whoever POSTs to a path speaks on that channel; whoever GETs it listens, or learns who does."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt

from eventcast.conf import conf
from eventcast.engine import presence, publishing
from eventcast.exceptions import MethodNotAllowed
from eventcast.http import bodies, pages, requests, streams
from eventcast.http.answers import SCOPE, answer, described, for_pages, preferred
from eventcast.layers import is_local
from eventcast.security import admission


# Without CSRF's token on purpose: the speakers are programs, which have no cookie to be abused and no page to get a
# token from. What keeps other sites' pages out is their Origin, not a token.
@csrf_exempt
@for_pages
async def channel(request: HttpRequest) -> HttpResponseBase:
    """A channel's own URL: publish (POST, PUT); listen, look at it or ask about it (GET)."""
    name = requests.channel_from_request(request)
    if request.method in ("POST", "PUT"):
        return await _publish(request, name)
    if request.method in ("GET", "HEAD"):
        return await _listen_or_ask(request, name)
    if request.method == "OPTIONS":
        return HttpResponse(status=204, headers=MethodNotAllowed.headers)
    raise MethodNotAllowed("POST to publish, GET to ask about the channel, open a WebSocket to listen.")


async def _listen_or_ask(request: HttpRequest, name: str) -> HttpResponseBase:
    """What the client accepts best: information, the page or a stream. Of equals the first, so ``*/*`` is JSON."""
    page = [pages.HTML] if conf.CHANNEL_PAGE else []
    form = preferred(request, ["application/json", *page, streams.SSE, streams.NDJSON])
    response: HttpResponseBase
    if form == pages.HTML:
        await admission.check_view(request, name)
        response = pages.channel_page(request, name)
    elif form in (streams.SSE, streams.NDJSON) and request.method == "GET":
        response = streams.stream(request, name, form, await admission.check_subscribe(request, name))
    else:
        await admission.check_view(request, name)
        response = answer(described(presence.channel_info(name)) | SCOPE)
    patch_vary_headers(response, ["Accept"])
    return response


async def _publish(request: HttpRequest, name: str) -> HttpResponse:
    permit = await admission.check_publish(request, name)
    found = bodies.messages_in(request)
    admission.check_rate(request, permit, len(found))
    subscribers = await publishing.apublish_many(name, found)
    said: dict[str, Any] = {"channel": name, "messages": len(found), "subscribers": subscribers}
    if not is_local():
        said |= SCOPE  # Other processes may have subscribers too, which are not counted.
    return answer(said, status=201 if subscribers else 202)
