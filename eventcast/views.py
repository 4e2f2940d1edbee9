"""The HTTP side: whoever POSTs to a path speaks on that channel; whoever GETs it listens, or learns who does."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from typing import Any, ClassVar

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.log import log_response
from django.views.decorators.csrf import csrf_exempt

from eventcast import (
    admission,
    bodies,
    cors,
    metrics,
    names,
    pages,
    patterns,
    presence,
    publishing,
    refusals,
    streams,
    throttling,
)
from eventcast.conf import conf
from eventcast.description import description
from eventcast.exceptions import Forbidden, InvalidQuery, MethodNotAllowed, Refused, ReservedChannel, Unauthorized
from eventcast.layers import is_local
from eventcast.transports import daphne

logger = logging.getLogger("eventcast.publish")

PAGE, LARGEST_PAGE = 100, 1000
"""Channels in one answer of the list, if ``limit`` says nothing, and at most."""

SCOPE = {"scope": "process"}
"""Said in answers with figures: they are those of the process that answers."""

EVERYTHING = patterns.parse("/<path:any>")
"""What has to be allowed to whoever asks for figures of the whole process."""

_encode = json.JSONEncoder(ensure_ascii=False).encode

View = Callable[[HttpRequest], Coroutine[Any, Any, HttpResponseBase]]


def for_pages(view: View) -> View:
    """A view whose answers pages elsewhere may read, if they may ask: see ``eventcast.cors``."""

    @functools.wraps(view)
    async def answer(request: HttpRequest) -> HttpResponseBase:
        cookies = "HTTP_ORIGIN" in request.META and admission.cookies_count()
        try:
            if cors.is_preflight(request):
                response: HttpResponseBase = cors.preflight(request, cookies=cookies)
            else:
                _check_root_path(request)
                response = await view(request)
        except Refused as refusal:
            response = refused(request, refusal)
        cors.share(request, response, cookies=cookies)
        return response

    return answer


def _check_root_path(request: HttpRequest) -> None:
    """See that a request is below the mount by the path that its client has sent.

    Any client may claim a root path by ``Daphne-Root-Path``, where no ``EventcastRouter`` does away with it, and Django
    takes it off the path to find its view.

    :raises ReservedChannel: it is not the one that the server was started with.
    """
    scope: Mapping[str, Any] = getattr(request, "scope", {})
    if root_path := scope.get("root_path"):
        started = daphne.started_root_path()
        if started is not None and root_path != started:
            raise ReservedChannel("There is no channel here: this is not the server's root path.")


# Without CSRF's token on purpose: the speakers are programs, which have no cookie to be abused and no page to get a
# token from. What keeps other sites' pages out is their Origin, not a token.
@csrf_exempt
@for_pages
async def channel(request: HttpRequest) -> HttpResponseBase:
    """A channel's own URL: publish (POST, PUT); listen, look at it or ask about it (GET)."""
    try:
        name = names.channel_from_request(request)
        if request.method in ("POST", "PUT"):
            return await _publish(request, name)
        if request.method in ("GET", "HEAD"):
            return await _listen_or_ask(request, name)
        if request.method == "OPTIONS":
            return HttpResponse(status=204, headers=MethodNotAllowed.headers)
        raise MethodNotAllowed("POST to publish, GET to ask about the channel, open a WebSocket to listen.")
    except Refused as refusal:
        return refused(request, refusal)


async def _listen_or_ask(request: HttpRequest, name: str) -> HttpResponseBase:
    """What the client accepts best: information, the page or a stream. Of equals the first, so ``*/*`` is JSON."""
    page = [pages.HTML] if conf.CHANNEL_PAGE else []
    form = _preferred(request, ["application/json", *page, streams.SSE, streams.NDJSON])
    response: HttpResponseBase
    if form == pages.HTML:
        await admission.to_ask(request, name)
        response = pages.channel_page(request, name)
    elif form in (streams.SSE, streams.NDJSON) and request.method == "GET":
        response = streams.stream(request, name, form, await admission.to_subscribe(request, name))
    else:
        await admission.to_ask(request, name)
        response = _answer(_described(presence.channel_info(name)) | SCOPE)
    patch_vary_headers(response, ["Accept"])
    return response


def _preferred(request: HttpRequest, forms: list[str]) -> str | None:
    try:
        return request.get_preferred_type(forms)
    except (ValueError, TypeError) as error:  # parameters that contradict each other, at which Python fails
        raise Refused(f"The request cannot be read, for its Accept: {error}.") from None


async def _publish(request: HttpRequest, name: str) -> HttpResponse:
    permit = await admission.to_publish(request, name)
    found = bodies.messages_in(request)
    throttling.charge(request, permit.who, len(found) - 1)
    subscribers = await publishing.apublish_many(name, found)
    answer: dict[str, Any] = {"channel": name, "messages": len(found), "subscribers": subscribers}
    if not is_local():
        answer |= SCOPE  # Other processes may have subscribers too, which are not counted.
    return _answer(answer, status=201 if subscribers else 202)


@csrf_exempt
@for_pages
async def channels(request: HttpRequest) -> HttpResponse:
    """The live channels of this process with their counts, a page at a time: ``?prefix=&after=&limit=``."""
    try:
        if request.method not in ("GET", "HEAD"):
            raise _ReadOnly("GET the list of channels.")
        try:
            query = request.GET
        except SuspiciousOperation as error:
            raise InvalidQuery(f"The query cannot be read: {error!s:.200}") from None
        mount = names.mount_of(request, "-/channels")
        await admission.to_ask(request, patterns.parse(f"{mount}<path:any>"))
        limit = query.get("limit", str(PAGE))
        if not limit.isascii() or not limit.isdecimal() or len(limit) > 4 or not 1 <= int(limit) <= LARGEST_PAGE:
            raise InvalidQuery(f"limit is a whole number from 1 to {LARGEST_PAGE}.")
        prefix = query.get("prefix", "")
        if mount.startswith(prefix):
            prefix = mount
        found = (
            presence.live_channels(prefix=prefix, after=query.get("after", ""), limit=int(limit) + 1)
            if prefix.startswith(mount)  # What lies elsewhere was not asked for.
            else []
        )
        page = found[: int(limit)]
        answer = {
            "channels": [_described(info) for info in page],
            "next": page[-1].channel if len(found) > len(page) else None,
            "patterns": [
                {"pattern": info.pattern, "subscribers": info.subscribers} | asdict(info.figures)
                for info in presence.live_patterns(prefix=mount, limit=LARGEST_PAGE)
            ],
        }
        if mount == "/" or await _may_ask_of_everything(request):
            answer |= _of_the_process()
        return _answer(answer | SCOPE)
    except Refused as refusal:
        return refused(request, refusal)


@csrf_exempt
@for_pages
async def figures(request: HttpRequest) -> HttpResponse:
    """The figures of this process in Prometheus' text format."""
    try:
        if request.method not in ("GET", "HEAD"):
            raise _ReadOnly("GET the figures.")
        names.mount_of(request, "-/metrics")
        await admission.to_ask(request, EVERYTHING)  # whatever the mount is: they are those of the whole process
        response = HttpResponse(metrics.render(), content_type=metrics.CONTENT_TYPE)
        response["Cache-Control"] = "no-store"
        return response
    except Refused as refusal:
        return refused(request, refusal)


@csrf_exempt
@for_pages
async def subscribe(request: HttpRequest) -> HttpResponseBase:
    """Listen to all channels that match a pattern, by a stream, or ask how many do: ``?pattern=/orders/<int:id>``."""
    try:
        if request.method not in ("GET", "HEAD"):
            raise _ReadOnly("GET a stream of what comes on channels that match a pattern.")
        mount = names.mount_of(request, patterns.SUBSCRIBE)
        pattern = patterns.from_query(request.META.get("QUERY_STRING", "").encode("latin-1"), mount)
        form = _preferred(request, ["application/json", streams.SSE, streams.NDJSON])
        if form in (streams.SSE, streams.NDJSON) and request.method == "GET":
            return streams.stream(request, pattern, form, await admission.to_subscribe(request, pattern))
        await admission.to_ask(request, pattern)
        listening = [info.subscribers for info in presence.live_patterns() if info.pattern == pattern.text]
        return _answer({"pattern": pattern.text, "subscribers": sum(listening)} | SCOPE)
    except Refused as refusal:
        return refused(request, refusal)


@csrf_exempt
@for_pages
async def describe(request: HttpRequest) -> HttpResponse:
    """What there is to ask, as an OpenAPI description."""
    try:
        if request.method not in ("GET", "HEAD"):
            raise _ReadOnly("GET the description.")
        mount = names.mount_of(request, "-/openapi.json")
        return HttpResponse(description(mount), content_type="application/json")
    except Refused as refusal:
        return refused(request, refusal)


@csrf_exempt
@for_pages
async def reserved(request: HttpRequest) -> HttpResponse:
    """Everything else below ``-/``: the server's own, and never a channel."""
    return refused(request, ReservedChannel("Paths below '-/' are the server's own. '-/channels' lists the channels."))


class _ReadOnly(MethodNotAllowed):
    headers: ClassVar[dict[str, str]] = {"Allow": "GET, HEAD"}


def refused(request: HttpRequest, refusal: Refused) -> HttpResponse:
    """The answer to a request that is turned down, and its line in the log."""
    worth_a_line = refusals.count(refusal.code)
    response = HttpResponse(refusal.as_json(), content_type="application/json", status=refusal.status)
    for header, value in refusal.answer_headers().items():
        response[header] = value
    log_response(
        "Refused: %s %s, %s %s. %s",
        refusal.status,
        refusal.code,
        f"{request.method:.20}",
        names.quoted(request.path),
        refusal.detail,
        response=response,
        request=request,
        logger=logger,
        level=None if worth_a_line else "debug",  # Django would write a line of its own if there was none
    )
    return response


async def _may_ask_of_everything(request: HttpRequest) -> bool:
    try:
        await admission.to_ask(request, EVERYTHING)
    except (Forbidden, Unauthorized):
        return False
    return True


def _of_the_process() -> dict[str, Any]:
    total = presence.totals()
    return {
        "total": {"channels": total.channels, "subscribers": total.subscribers} | asdict(total.figures),
        "refused": refusals.counts(),
    }


def _described(info: presence.ChannelInfo) -> dict[str, Any]:
    return {"channel": info.channel, "subscribers": info.subscribers} | asdict(info.figures)


def _answer(data: dict[str, Any], status: int = 200) -> HttpResponse:
    response = HttpResponse(_encode(data), content_type="application/json", status=status)
    response["Cache-Control"] = "no-store"
    return response
