"""What a request to a channel's URL does, whatever server has read it: publish, listen, or ask about the channel.

The door of ``eventcast serve`` and Django's view are two adapters of these functions.
"""

from __future__ import annotations

import json
from urllib.parse import parse_qs

from django.http import HttpRequest
from django.utils.cache import patch_vary_headers

from eventcast.conf import conf
from eventcast.engine import asking, names, presence, sending
from eventcast.engine.messages import check_event_name
from eventcast.engine.patterns import Pattern
from eventcast.exceptions import Forbidden, InvalidQuery, MethodNotAllowed, Refused, Unauthorized
from eventcast.http import pages, payloads, shared_streams, streams
from eventcast.http.answers import Answer, Response, answer, described, note_refused, preferred, refused
from eventcast.http.formats import FORMATS, NDJSON, SSE
from eventcast.layers import get_layer, is_local
from eventcast.layers.cluster import ClusterLayer
from eventcast.layers.counting import Reach
from eventcast.security import admission
from eventcast.security.authorization.permits import Permit
from eventcast.security.hosts import check_host

_quoted = json.encoder.encode_basestring
"""A JSON string, with letters of all scripts as they are."""


def channel_of(request: HttpRequest) -> str:
    """The channel that a request's path names; under WSGI there is no raw path, and the decoded one must do.

    :raises InvalidChannel: as :func:`eventcast.engine.names.channel_from_scope`.
    """
    return names.channel_from_scope(getattr(request, "scope", None) or {"path": request.path})


def publish_at_once(request: HttpRequest, target: bytes) -> Answer | None:
    """Serve a request to publish that has its body, without a coroutine, because most have nothing to wait for. The
    checks are those of :func:`serve`, in their order. None if something has to wait: then nothing has happened.

    :param target: the request target.
    """
    if "HTTP_ORIGIN" in request.META or "HTTP_PREFER" in request.META:
        return None  # The answer to a page has more headers, and one of a preference says that it is applied.
    if not sending.is_at_once(layer := get_layer()):
        return None  # Known before anything is checked, because everything would be checked again.
    try:
        check_host(request)
        name = names.channel_from_target(target)
        permit = admission.check_publish_at_once(request, name)
        if permit is None or (known := sending.heard_without_waiting(name, layer)) is None:
            return None
        heard, elsewhere = known
        event, found = event_of(request), payloads.messages_in(request)
        admission.check_rate(request, permit, len(found))
        subscribers = sending.publish_at_once(name, found, event, layer, heard, elsewhere)
        return _published(name, len(found), subscribers, _doubts(elsewhere))
    except Refused as refusal:
        return refused(request, refusal)


async def publish(request: HttpRequest, name: str, permit: Permit) -> Answer:
    """Publish what a request carries, whose body can be read now.

    :param permit: what :func:`eventcast.security.admission.check_publish` has said.
    :raises Refused: it carries nothing that can be published.
    """
    event, found = event_of(request), payloads.messages_in(request)
    admission.check_rate(request, permit, len(found))
    minimal = _prefers_minimal(request)
    reach = await sending.apublish_checked(name, found, event, count=not minimal)
    more = _doubts(reach)
    if not is_local() and not isinstance(get_layer(), ClusterLayer):
        more = ', "scope": "process"'  # Other processes may have subscribers too, which are not counted.
    if not minimal:
        return _published(name, len(found), reach.subscribers, more)
    answer = Answer(f'{{"channel": {_quoted(name)}, "messages": {len(found)}{more}}}'.encode(), status=202)
    answer.headers |= {"Cache-Control": "no-store", "Preference-Applied": "return=minimal"}
    return answer


def _doubts(reach: Reach) -> str:
    """What an answer says of a number of subscribers that is not exact."""
    more = f', "partial": true, "missing": {reach.missing}' if reach.missing else ""
    if reach.age:
        more += f', "counted": {reach.age:.3f}'
    if reach.degraded:
        more += ', "degraded": true'
    return more


def _prefers_minimal(request: HttpRequest) -> bool:
    """Whether the client does not want to know the number of subscribers (RFC 7240): no process is then asked."""
    preferred = request.META.get("HTTP_PREFER", "").lower().split(",")
    return any(each.partition(";")[0].replace(" ", "").replace('"', "") == "return=minimal" for each in preferred)


def event_of(request: HttpRequest) -> str:
    """The name of the event that a request to publish gives to its messages by ``?event=``; empty for none.

    :raises InvalidQuery: it is given twice, or the query is not percent-encoded UTF-8.
    :raises InvalidEventName: the name has a line break, or is too long.
    """
    found = in_query(request, "event")
    if len(found) > 1:
        raise InvalidQuery("Give one name of an event: ?event=paid. All messages of a request have it.")
    return check_event_name(found[0]) if found else ""


def in_query(request: HttpRequest, parameter: str) -> list[str]:
    """What the query of a request says for a parameter.

    :raises InvalidQuery: the query is not percent-encoded UTF-8, or has over 100 parameters.
    """
    query = request.META.get("QUERY_STRING", "")
    if f"{parameter}=" not in query:
        return []
    try:
        return parse_qs(
            query.encode().decode("ascii"), keep_blank_values=True, max_num_fields=100, errors="strict"
        ).get(parameter, [])
    except ValueError:
        raise InvalidQuery("The query is not percent-encoded UTF-8, or has too many parameters.") from None


def _published(name: str, messages: int, subscribers: int, more: str = "") -> Answer:
    # By hand, because this is what most answers say, and an encoder costs as much as a delivery.
    said = f'{{"channel": {_quoted(name)}, "messages": {messages}, "subscribers": {subscribers}{more}}}'
    answer = Answer(said.encode(), status=201 if subscribers else 202)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def form_of(request: HttpRequest) -> str | None:
    """What the client accepts best: information, the page or a stream. Of equals the first, so ``*/*`` is JSON.

    :raises Refused: the header cannot be read.
    """
    page = [pages.HTML] if conf.CHANNEL_PAGE else []
    return preferred(request, ["application/json", *page, SSE, NDJSON])


async def listen_or_ask(request: HttpRequest, name: str) -> Response:
    """Serve a GET of a channel.

    :raises Refused: the client may not.
    """
    form = form_of(request)
    response: Response
    if form == pages.HTML:
        response = pages.channel_page(request, name, await refusal_to_view(request, name))
    elif form in FORMATS and request.method == "GET":
        more, format = in_query(request, "channel"), FORMATS[form]
        if more:
            response = await shared_streams.stream(request, [name, *more], format)
        else:
            response = await streams.stream(request, name, format)
    else:
        await admission.check_view(request, name)
        answers = await asking.ask("infos", channels=[name])
        (info,) = presence.infos_in(answers)
        response = answer(described(info) | answers.as_json())
    patch_vary_headers(response, ["Accept"])  # type: ignore[arg-type]
    return response


async def refusal_to_view(request: HttpRequest, wanted: str | Pattern) -> Refused | None:
    """The reason why a browser may not see a channel, or many, yet: its page asks for a login, a key or a token."""
    try:
        await admission.check_view(request, wanted)
    except (Unauthorized, Forbidden) as refusal:
        note_refused("GET", request.path, refusal)
        return refusal
    return None


async def serve(request: HttpRequest, name: str) -> Response:
    """Serve any request to a channel whose body can be read at any time.

    :raises Refused: it may not be served.
    """
    if request.method in ("POST", "PUT"):
        return await publish(request, name, await admission.check_publish(request, name))
    if request.method in ("GET", "HEAD"):
        return await listen_or_ask(request, name)
    if request.method == "OPTIONS":
        options = Answer(content_type="", status=204)
        options.headers |= MethodNotAllowed.headers
        return options
    raise MethodNotAllowed("POST to publish, GET to ask about the channel, open a WebSocket to listen.")
