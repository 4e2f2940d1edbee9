"""What a request to a channel's URL does, whatever server has read it: publish, listen, or ask about the channel.

The door of ``eventcast serve`` and Django's view are two adapters of these functions. What refuses a request is raised.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.utils.cache import patch_vary_headers

from eventcast.conf import conf
from eventcast.engine import asking, messages, names, patterns, presence, sending
from eventcast.engine.patterns import Pattern
from eventcast.exceptions import Forbidden, InvalidQuery, LayerUnavailable, MethodNotAllowed, Refused, Unauthorized
from eventcast.http import pages, payloads, shared_streams, streams
from eventcast.http.answers import Answer, Response, answer, described, note_refused, preferred
from eventcast.http.formats import FORMATS, NDJSON, SSE
from eventcast.layers import get_layer
from eventcast.layers.counting import NOWHERE, Reach
from eventcast.security import admission, throttling
from eventcast.security.authorization.permits import Permit
from eventcast.security.origins import check_host

_quoted = json.encoder.encode_basestring
"""A JSON string, with letters of all scripts as they are."""


def channel_of(request: HttpRequest) -> str:
    """The channel that a request's path names; under WSGI there is no raw path, and the decoded one must do."""
    return names.channel_from_scope(getattr(request, "scope", None) or {"path": request.path})


class Publication(NamedTuple):
    """What the head of a request says about the messages in its body, once the publisher is admitted."""

    name: str
    """The channel."""
    permit: Permit
    event: str
    """The name of the event that the messages get."""
    minimal: bool
    """Whether the client does not want to know the number of subscribers."""
    decode: payloads.Decode | None


async def publish(request: HttpRequest, name: str, permit: Permit | None = None) -> Answer:
    """Publish what a request carries, whose body can be read now.

    :param permit: what :func:`eventcast.security.admission.check_publish` has said, if it was asked.
    """
    if permit is None:
        permit = await admission.check_publish(request, name)
    told = _told(request, name, permit)
    found = payloads.messages_in(request, told.decode)
    throttling.book(request, permit, len(found))
    return _answer(told, len(found), await sending.asend(_checked(told, found), count=not told.minimal))


def _told(request: HttpRequest, name: str, permit: Permit) -> Publication:
    minimal = "HTTP_PREFER" in request.META and _prefers_minimal(request)
    events = patterns.query_values(request.META.get("QUERY_STRING", ""), "event")
    if len(events) > 1:
        raise InvalidQuery("Give one name of an event: ?event=paid. All messages of a request have it.")
    event = messages.check_event_name(events[0]) if events else ""
    return Publication(name, permit, event, minimal, payloads.decoder(request))


def publication(request: HttpRequest, target: bytes) -> Publication | None:
    """What the head of a request to publish says, and all requests with the same head; None if they are not all alike,
    or if this one is to be refused."""
    if not (sending.can_send_nowait(get_layer()) and admission.is_told_by_head(request)):
        return None
    try:
        check_host(request)
        name = names.channel_from_target(target)
        permit = admission.publish_permit(request, name)
        return None if permit is None else _told(request, name, permit)
    except Refused:
        return None


WAITING = Answer()
"""Stands for an answer that comes later."""

Then = Callable[[Answer | LayerUnavailable], object]
"""Takes that answer, or what refuses it."""


def publish_at_once(told: Publication, body: bytes, then: Then) -> Answer | LayerUnavailable | None:
    """Publish what a request carries of which the head is known.

    :param then: called later if :data:`WAITING` is returned.
    :returns: None if the publisher has to wait, or is to be refused: then nothing has happened.
    """
    ends = told.permit.expires_at
    if told.decode is None or (ends is not None and ends <= time.time()) or len(body) > conf.MAX_BODY_SIZE:
        return None
    try:
        found = told.decode(body)
        event = _checked(told, found)
        begun = sending.send_nowait(event, count=not told.minimal)
    except LayerUnavailable as refusal:
        return refusal
    except Refused:
        return None
    if begun is None or isinstance(begun, Reach):
        return None if begun is None else _answer(told, len(found), begun)
    begun.then = functools.partial(_answer_later, told, len(found), then)
    return WAITING


def _answer_later(told: Publication, count: int, then: Then, outcome: Reach | LayerUnavailable) -> None:
    then(_answer(told, count, outcome) if isinstance(outcome, Reach) else outcome)


def _checked(told: Publication, found: list[str | bytes]) -> dict[str, Any]:
    for each in found:
        messages.check_data(each)
    return messages.to_layer(told.name, found, told.event)


def _answer(told: Publication, count: int, reach: Reach) -> Answer:
    more = "" if reach[1:] == NOWHERE[1:] else _more(reach)
    # By hand, because this is what most answers say, and an encoder costs as much as a delivery.
    heard = "" if told.minimal else f', "subscribers": {reach.subscribers}'
    said = f'{{"channel": {_quoted(told.name)}, "messages": {count}{heard}{more}}}'
    answer = Answer(said.encode(), status=201 if reach.subscribers and not told.minimal else 202)
    answer.headers["Cache-Control"] = "no-store"
    if told.minimal:
        answer.headers["Preference-Applied"] = "return=minimal"
    return answer


def _more(reach: Reach) -> str:
    """What an answer says beside the number of subscribers, where other processes may have some too."""
    more = ', "scope": "process"' if reach.uncounted else ""
    if reach.missing:
        more += f', "partial": true, "missing": {reach.missing}'
    if reach.age:
        more += f', "counted": {reach.age:.3f}'
    if reach.degraded:
        more += ', "degraded": true'
    return more


def _prefers_minimal(request: HttpRequest) -> bool:
    """Whether the client does not want to know the number of subscribers (RFC 7240): no process is then asked."""
    preferred = request.META["HTTP_PREFER"].lower().split(",")
    return any(each.partition(";")[0].replace(" ", "").replace('"', "") == "return=minimal" for each in preferred)


def form_of(meta: dict[str, str]) -> str | None:
    """What the client accepts best: information, the page or a stream. Of equals the first, so ``*/*`` is JSON."""
    page = [pages.HTML] if conf.CHANNEL_PAGE else []
    return preferred(meta, "application/json", *page, SSE, NDJSON)


async def listen_or_ask(request: HttpRequest, wanted: str | Pattern) -> Response:
    """Serve a GET of a channel, or of all channels that match a pattern."""
    form = form_of(request.META)
    response: Response
    if form == pages.HTML:
        why_not: Refused | None = None
        try:
            await admission.check_subscribe(request, wanted)
        except (Unauthorized, Forbidden) as refusal:  # The page asks for a login, a key or a token.
            note_refused("GET", request.path, refusal)
            why_not = refusal
        response = pages.channel_page(request, wanted, why_not)
    elif form in FORMATS and request.method == "GET":
        query = request.META.get("QUERY_STRING", "")
        if isinstance(wanted, str) and (more := patterns.query_values(query, "channel")):
            response = await shared_streams.stream(request, [wanted, *more], FORMATS[form])
        else:
            response = await streams.stream(request, wanted, FORMATS[form])
    else:
        await admission.check_subscribe(request, wanted)
        response = answer(await _information(wanted))
    patch_vary_headers(response, ["Accept"])  # type: ignore[arg-type]
    return response


async def _information(wanted: str | Pattern) -> dict[str, Any]:
    if isinstance(wanted, Pattern):
        answers = await asking.ask("listening", pattern=wanted.text)
        return {"pattern": wanted.text, "subscribers": sum(answers.found)} | answers.as_json()
    answers = await asking.ask("infos", channels=[wanted])
    (info,) = presence.infos_in(answers)
    return described(info) | answers.as_json()


def serve(request: HttpRequest, name: str) -> Coroutine[Any, Any, Response]:
    """Serve any request to a channel, with a body that can be read at any time."""
    if request.method in ("POST", "PUT"):
        return publish(request, name)
    if request.method in ("GET", "HEAD"):
        return listen_or_ask(request, name)
    if request.method == "OPTIONS":
        return _options()
    raise MethodNotAllowed("POST to publish, GET to ask about the channel, open a WebSocket to listen.")


async def _options() -> Answer:
    answer = Answer(content_type="", status=204)
    answer.headers |= MethodNotAllowed.headers
    return answer
