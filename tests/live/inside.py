"""URLs of the standalone server, and below ``/admin/inside/`` what a test can only do inside the server's process.

Publish from Python by one of three roads, disconnect subscribers, count what the process holds, and make faults in it.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import logging
from collections.abc import Awaitable, Callable

from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

import eventcast
from eventcast.engine import presence
from eventcast.engine.hub import hubs
from eventcast.engine.quotas import quotas
from eventcast.layers import InMemoryChannelLayer, get_layer
from eventcast_project.urls import urlpatterns as standalone

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.live.inside_settings"}
"""The environment of a server with these URLs."""


async def on_the_loop(channel: str, messages: list[str]) -> None:
    for message in messages:
        eventcast.publish(channel, message)


async def in_a_thread(channel: str, messages: list[str]) -> None:
    def publish_all() -> None:
        for message in messages:
            eventcast.publish(channel, message)

    await asyncio.to_thread(publish_all)


async def awaited(channel: str, messages: list[str]) -> None:
    for message in messages:
        await eventcast.apublish(channel, message)


ROADS: dict[str, Callable[[str, list[str]], Awaitable[None]]] = {
    "loop": on_the_loop,
    "thread": in_a_thread,
    "apublish": awaited,
}


def message(publisher: str, number: int, size: int) -> str:
    """A message of ``size`` bytes that begins with its publisher and number, if there is room for them."""
    return f"{publisher} {number} ".ljust(size, "x")[:size]


@csrf_exempt
async def publish(request: HttpRequest) -> JsonResponse:
    """Publish messages from Python: ``{"road", "channel", "publisher", "sizes"}``."""
    wanted = json.loads(request.body)
    made = [message(wanted["publisher"], number, size) for number, size in enumerate(wanted["sizes"])]
    await ROADS[wanted["road"]](wanted["channel"], made)
    return JsonResponse({"messages": len(made)})


@csrf_exempt
async def disconnect(request: HttpRequest) -> JsonResponse:
    """Take the permission of all subscribers of a channel away: the body is its name."""
    eventcast.disconnect(channel=request.body.decode())
    return JsonResponse({})


async def held(request: HttpRequest) -> JsonResponse:
    """What the process holds for its subscribers, by kind."""
    layer, total = get_layer(), presence.totals()
    assert isinstance(layer, InMemoryChannelLayer)
    found = {
        "subscribers": quotas.subscribers,
        "channels": sum(len(hub.channels) for hub in hubs()),
        "patterns": sum(len(list(hub.patterns)) for hub in hubs()),
        "connections that are pinged": sum(hub.keepalive.peers for hub in hubs()),
        "pending bytes": sum(hub.memory.total for hub in hubs()),
        "names in the layer": layer.statistics().channels,
        "groups in the layer": layer.statistics().groups,
        "tasks": len(asyncio.all_tasks()),
        "delivered and lost": total.figures.delivered + total.figures.lost,
        "owed": sum(piece.messages for hub in hubs() for each in hub.memory._holders for piece in each._buffer or ()),
    }
    return JsonResponse(found)


class Publishes(logging.Handler):
    """Publishes the log, as a site may."""

    def emit(self, record: logging.LogRecord) -> None:
        eventcast.publish("/log", record.getMessage())


class Fails(logging.Handler):
    """Raises, as no handler should."""

    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("a fault of a log handler")


class Litter:
    """Garbage that only a collection finds; when it goes it logs, and leaves more of its kind, :attr:`left` times."""

    left = 0

    def __init__(self) -> None:
        self._itself = self

    def __del__(self) -> None:
        if Litter.left:
            Litter.left -= 1
            logging.getLogger("site").warning("a finalizer has run")
            Litter()


@csrf_exempt
async def litter(request: HttpRequest) -> JsonResponse:
    """The garbage collector runs all the time, wherever the server is; 200 times it finds what logs and publishes."""
    if gc.get_threshold()[0] != 2:
        gc.set_threshold(2, 100, 100)
        logging.getLogger().addHandler(Publishes())
        atexit.register(setattr, Litter, "left", 0)
    Litter.left = 200
    Litter()
    return JsonResponse({})


@csrf_exempt
async def log_handler_fails(request: HttpRequest) -> JsonResponse:
    """From now on each line of the log is an exception where it is written."""
    logging.getLogger().addHandler(Fails())
    return JsonResponse({})


urlpatterns = [
    path("admin/inside/litter", litter),
    path("admin/inside/log-handler-fails", log_handler_fails),
    path("admin/inside/publish", publish),
    path("admin/inside/disconnect", disconnect),
    path("admin/inside/held", held),
    *standalone,
]
