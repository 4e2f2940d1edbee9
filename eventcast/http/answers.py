"""What views answer with: JSON, refusals with their lines in the log, and headers for pages elsewhere."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.log import log_response

from eventcast.engine import names, presence
from eventcast.exceptions import Refused, ReservedChannel
from eventcast.http import cors
from eventcast.security import admission, refusals
from eventcast.server import daphne

logger = logging.getLogger("eventcast.publish")

SCOPE = {"scope": "process"}
"""Said in answers with figures: they are those of the process that answers."""

_encode = json.JSONEncoder(ensure_ascii=False).encode

View = Callable[[HttpRequest], Coroutine[Any, Any, HttpResponseBase]]


def for_pages(view: View) -> View:
    """A view that may raise what it refuses, and whose answers pages elsewhere may read, if they may ask: see
    ``eventcast.http.cors``."""

    @functools.wraps(view)
    async def answering(request: HttpRequest) -> HttpResponseBase:
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

    return answering


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


def preferred(request: HttpRequest, forms: list[str]) -> str | None:
    """Which of these media types the client accepts best; of equals the first.

    :raises Refused: nobody can tell.
    """
    try:
        return request.get_preferred_type(forms)
    except (ValueError, TypeError) as error:  # parameters that contradict each other, at which Python fails
        raise Refused(f"The request cannot be read, for its Accept: {error}.") from None


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


def described(info: presence.ChannelInfo) -> dict[str, Any]:
    """A channel and its figures."""
    return {"channel": info.channel, "subscribers": info.subscribers} | asdict(info.figures)


def answer(data: dict[str, Any], status: int = 200) -> HttpResponse:
    """JSON, not to be kept by anybody."""
    response = HttpResponse(_encode(data), content_type="application/json", status=status)
    response["Cache-Control"] = "no-store"
    return response
