"""``eventcast.publish`` in a process that serves no subscriber: a task queue, a command, a shell, a WSGI server.

The engine calls :func:`remote_publisher` in a process without subscribers. The engine itself imports no client.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from channels.layers import InMemoryChannelLayer as StockInMemoryChannelLayer
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_started
from django.urls import NoReverseMatch, get_script_prefix, reverse

from eventcast.client import Publisher
from eventcast.client.targets import key_headers
from eventcast.conf import conf
from eventcast.engine import names, publishing, sending
from eventcast.exceptions import EventcastError, InvalidChannel, LayerUnavailable
from eventcast.layers import InMemoryChannelLayer, get_layer
from eventcast.layers.cluster import ClusterLayer
from eventcast.server import daphne

TIMEOUT = 5.0
"""Seconds that the server of ``EVENTCAST["URL"]`` has to answer."""

WAITING = 1000
"""Calls of ``publish`` on the thread of an event loop that wait to be sent by HTTP. More are dropped."""

UNHEARD = (
    "Nothing that this process publishes reaches a subscriber, such as a message to %s: the process does not serve, "
    "and its channel layer is in its own memory. Set EVENTCAST['URL'], and EVENTCAST['KEY'] if the server wants "
    "a key, or a CHANNEL_LAYERS that spans processes, such as Redis. This is said once for each process."
)

logger = logging.getLogger("eventcast.publish")

Events = Sequence[dict[str, Any]]

_serving_process = 0
"""The id of this process, if it has served a request by ASGI."""


def install() -> None:
    """Set the hooks of the engine."""
    publishing.hooks.remote_publisher, publishing.hooks.mount = remote_publisher, mount
    request_started.connect(_note_request, dispatch_uid="eventcast.elsewhere")


def _note_request(sender: type, **kwargs: Any) -> None:
    global _serving_process
    if issubclass(sender, ASGIHandler):
        _serving_process = os.getpid()
        request_started.disconnect(dispatch_uid="eventcast.elsewhere")


def remote_publisher() -> publishing.RemotePublisher | None:
    """The publisher for a process without subscribers; None for the channel layer.

    :raises LayerUnavailable: the layer does not work in this process.
    """
    layer = get_layer()
    # Another subclass of Channels' layer may bring messages to other processes.
    local = isinstance(layer, InMemoryChannelLayer) or type(layer) is StockInMemoryChannelLayer
    if daphne.is_running() or _serving_process == os.getpid() or (local and layer.groups):
        return None  # A server that has no subscriber yet, or other readers of the layer in this process.
    if not local and (isinstance(layer, ClusterLayer) or not _has_green_threads()):
        return None
    if "URL" in getattr(settings, "EVENTCAST", {}):
        return _by_http(conf.URL, conf.KEY)
    if local:
        return _nowhere
    raise LayerUnavailable(
        "Channel layers need asyncio, which does not work where gevent or eventlet has replaced threads. Set "
        "EVENTCAST['URL'] to publish by HTTP from this process."
    )


def mount() -> str:
    """The path of eventcast in ``urls.py``, with its slashes and with the script name.

    :raises InvalidChannel: eventcast is not in ``urls.py``.
    """
    try:
        path = reverse("eventcast:channels").removesuffix("-/channels")
    except NoReverseMatch:
        raise InvalidChannel(
            "eventcast is not in urls.py: write the whole path of the channel, from its '/'."
        ) from None
    # Django sets the script name for requests, and otherwise in the main thread only.
    script_name = settings.FORCE_SCRIPT_NAME
    return path if script_name is None else script_name.rstrip("/") + "/" + path.removeprefix(get_script_prefix())


def _has_green_threads() -> bool:
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    return bool(
        (gevent and gevent.is_module_patched("threading")) or (eventlet and eventlet.is_monkey_patched("thread"))
    )


class _Nowhere:
    """Drops messages, and says so once for each process, also after a fork."""

    said_in = 0
    """The process that has said it."""

    def send(self, events: Events, *, on_loop: bool) -> None:
        if events and self.said_in != os.getpid():
            self.said_in = os.getpid()
            logger.warning(UNHEARD, names.quoted(events[0]["channel"]))

    async def asend(self, events: Events) -> None:
        self.send(events, on_loop=True)


_nowhere = _Nowhere()


class _ByHTTP:
    """Publishes through a server, over connections that all channels, threads and greenlets of the process share."""

    def __init__(self, url: str, key: str) -> None:
        self._publisher = Publisher(url, headers=key_headers(url, key), timeout=TIMEOUT)
        self._later: ThreadPoolExecutor | None = None
        self._free = threading.BoundedSemaphore(WAITING)
        self._pid = 0

    def send(self, events: Events, *, on_loop: bool) -> int | None:
        if not on_loop:
            return self._send(events)
        if self._pid != os.getpid():  # one thread, which keeps the order
            self._pid, self._free = os.getpid(), threading.BoundedSemaphore(WAITING)
            self._later = ThreadPoolExecutor(1, "eventcast.publish")
        free = self._free
        if self._later is None or not free.acquire(blocking=False):
            logger.error("%d calls of publish() wait to be sent: what was to be sent next is lost.", WAITING)
            return None
        self._later.submit(self._send, events).add_done_callback(lambda _: free.release())
        return None

    async def asend(self, events: Events) -> int:
        return await asyncio.to_thread(self._send, events)

    def _send(self, events: Events) -> int:
        found = 0
        try:
            for name, group in itertools.groupby(events, lambda event: str(event.get("event", ""))):
                pairs = [(event["channel"], data) for event in group for data in event["messages"]]
                if len(pairs) > 1:
                    found = self._publisher.publish_many(pairs, event=name)
                else:
                    found = self._publisher.publish(*pairs[0], event=name)
        except EventcastError as error:
            logger.error("Publishing to %s by %s failed: %s", names.quoted(events[0]["channel"]), conf.URL, error)
            raise
        sending.published.add(len(events))
        return found


_by_http = functools.lru_cache(maxsize=8)(_ByHTTP)
