"""The server's own paths, below ``<mount>-/``: lists, figures, subscriptions by a pattern, and what there is to ask."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import asdict, astuple
from typing import Any, ClassVar

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest

from eventcast import metrics
from eventcast.engine import asking, patterns, presence
from eventcast.engine.figures import Figures
from eventcast.engine.hub import hubs
from eventcast.exceptions import (
    Forbidden,
    InvalidQuery,
    LayerUnavailable,
    MethodNotAllowed,
    ReservedChannel,
    Unauthorized,
)
from eventcast.http.answers import Answer, Response, answer, described, refusal_answer
from eventcast.http.channels import channel_of, listen_or_ask
from eventcast.layers import get_layer
from eventcast.security import admission, refusals

LIVE, READY = b"-/health/live", b"-/health/ready"
"""Where load balancers and supervisors look, below the mount."""

PAGE, LARGEST_PAGE = 100, 1000
"""Channels in one answer of the list, if ``limit`` says nothing, and at most."""

EVERYTHING = patterns.parse("/<path:any>")
"""A client that asks for figures of the whole process must be allowed to listen to all of this."""


def mount_of(request: HttpRequest, own: str) -> str:
    """The mount, such as ``/live/``, by a request to read one of the server's own paths below it.

    :param own: that path, such as ``-/channels``.
    :raises MethodNotAllowed: it would write.
    :raises ReservedChannel: Django was led here by another path than the client has sent, so what lies below is not
        below that.
    """
    _check_reads(request)
    name, root_path = channel_of(request), request.META.get("SCRIPT_NAME", "").rstrip("/")
    if not name.endswith(own) or name not in (request.path_info, root_path + request.path_info):
        raise ReservedChannel("There is no {own} here.", own=own)
    return name.removesuffix(own)


async def list_channels(request: HttpRequest) -> Answer:
    """The live channels with their counts, a page at a time: ``?prefix=&after=&limit=``."""
    mount = mount_of(request, "-/channels")
    try:
        query = request.GET
    except SuspiciousOperation as error:
        raise InvalidQuery("The query cannot be read: {error!s:.200}", error=error) from None
    await admission.check_subscribe(request, patterns.parse(f"{mount}<path:any>"))
    limit = query.get("limit", str(PAGE))
    if not limit.isascii() or not limit.isdecimal() or len(limit) > 4 or not 1 <= int(limit) <= LARGEST_PAGE:
        raise InvalidQuery("limit is a whole number from 1 to {largest}.", largest=LARGEST_PAGE)
    prefix = query.get("prefix", "")
    if mount.startswith(prefix):
        prefix = mount
    everything = False
    with contextlib.suppress(Forbidden, Unauthorized):
        await admission.check_subscribe(request, EVERYTHING)
        everything = True
    answers = await asking.ask(
        "page",
        prefix=prefix if prefix.startswith(mount) else None,  # What lies elsewhere was not asked for.
        after=query.get("after", ""),
        limit=int(limit) + 1,
        mount=mount,
        everything=everything,
    )
    # The first names of all are among the first of each.
    names = sorted({name for found in answers.found for name in found["channels"]})
    shown, more = names[: int(limit)], len(names) > int(limit)
    infos = await asking.ask("infos", channels=shown)
    by_pattern = presence.merged(row for found in answers.found for row in found["patterns"]).values()
    said: dict[str, Any] = {
        "channels": [described(info) for info in presence.infos_in(infos)],
        "next": shown[-1] if more else None,
        "patterns": [described(info, "pattern") for info in by_pattern],
    }
    if everything:
        live, subscribers, *counts = map(sum, zip(*(found["total"] for found in answers.found), strict=True))
        said["total"] = {"channels": live, "subscribers": subscribers} | asdict(Figures(*counts))
        said["refused"] = dict(sum((Counter(found["refused"]) for found in answers.found), Counter[str]()))
    return answer(said | answers.as_json() | infos.as_json())


@asking.slow_question
def page(prefix: str | None, after: str, limit: int, mount: str, everything: bool) -> dict[str, Any]:
    """What the list of channels has of this process."""
    found: dict[str, Any] = {
        "channels": [] if prefix is None else presence.live_channels(prefix=prefix, after=after, limit=limit),
        "patterns": [info.row() for info in presence.live_patterns(prefix=mount, limit=LARGEST_PAGE)],
    }
    if everything:
        total = presence.totals()
        found["total"] = [total.channels, total.subscribers, *astuple(total.figures)]
        found["refused"] = refusals.counts()
    return found


async def figures(request: HttpRequest) -> Answer:
    """The figures in Prometheus' text format: of all processes, or with ``?scope=process`` of this one."""
    mount_of(request, "-/metrics")
    await admission.check_subscribe(request, EVERYTHING)  # whatever the mount is: they are those of the whole process
    alone = request.META.get("QUERY_STRING", "") == "scope=process"
    answers = asking.Answers([metrics.families()]) if alone else await asking.ask("families")
    response = Answer(metrics.render(answers), metrics.CONTENT_TYPE)
    response["Cache-Control"] = "no-store"
    return response


async def subscribe(request: HttpRequest) -> Response:
    """Listen to all channels that match a pattern, by a stream or in a page, or ask how many do:
    ``?pattern=/orders/<int:id>``."""
    mount = mount_of(request, patterns.SUBSCRIBE)
    return await listen_or_ask(request, patterns.from_query(request.META.get("QUERY_STRING", ""), mount))


def health(own: bytes) -> Answer | None:
    """The answer to a probe, by its path below the mount; None for any other path. Nothing is checked before, not even
    the ``Host``: load balancers ask by the address."""
    if own == READY and any(hub.stopping for hub in hubs()):
        return refusal_answer(LayerUnavailable("The server is going away. Send requests to another one."))
    if own == READY and getattr(get_layer(), "degraded", False):
        return refusal_answer(LayerUnavailable("The other processes cannot be reached. Ask again later."))
    return answer({"status": "ok"}) if own in (LIVE, READY) else None


async def probe(request: HttpRequest) -> Answer | None:
    """Whether the process answers (``live``); whether it takes requests (``ready``): 503 while it stops, and while it
    cannot reach the other processes."""
    _check_reads(request)
    return health(READY if request.path.endswith("ready") else LIVE)


async def reserved(request: HttpRequest) -> Answer:
    """Everything else below ``-/``: the server's own, and never a channel."""
    raise ReservedChannel("Paths below '-/' are the server's own. '-/channels' lists the channels.")


class _ReadOnly(MethodNotAllowed):
    headers: ClassVar[dict[str, str]] = {"Allow": "GET, HEAD"}


def _check_reads(request: HttpRequest) -> None:
    if request.method not in ("GET", "HEAD"):
        raise _ReadOnly("There is nothing to publish to here. Send GET.")
