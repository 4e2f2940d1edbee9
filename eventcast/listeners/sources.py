"""Where the calls of a listener come from: a WebSocket to a server."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eventcast.client import channel_url, pattern_url, subscribe
from eventcast.client.envelopes import decode_frame
from eventcast.exceptions import UndecodableMessage
from eventcast.listeners.calls import Call

if TYPE_CHECKING:
    from eventcast.client import State
    from eventcast.listeners.registry import Listener
    from eventcast.listeners.running import Runner

READ_AHEAD = 64
"""Frames taken from a connection before they are asked for. A few, for they don't count in the queue's bound."""

logger = logging.getLogger("eventcast.listen")


@dataclass(frozen=True)
class Server:
    """Where to subscribe."""

    url: str
    """With the mount, as in ``http://host/live``."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """More headers of each request."""


async def listen(listener: Listener, server: Server, runner: Runner) -> None:
    """Put a call into the runner for each message of the listener's channels, until cancelled.

    :raises Refused: the server turned it down for good.
    :raises ValueError: the server's URL is none.
    """
    route = listener.route
    url = channel_url(server.url, listener.path) if route.pattern is None else pattern_url(server.url, route.pattern)
    tell = functools.partial(tell_state, listener.name, listener.path)
    subscription = subscribe(url, wait=True, headers=server.headers, queue=READ_AHEAD, on_state=tell)
    async with subscription as messages:
        async for frame in messages:
            channel, data = listener.path, frame
            if route.pattern is not None:
                try:
                    channel, data = decode_frame(frame)
                except UndecodableMessage as error:
                    runner.refuse(error)
                    continue
                if not route.has(channel):
                    continue
            await runner.put(Call(functools.partial(listener.arguments, channel, data), channel, sys.getsizeof(data)))


def tell_state(name: str, path: str, state: State) -> None:
    """Log what has become of a subscription."""
    if state.name == "waiting":
        logger.warning("%s: %s. Trying again in %.1f s.", name, state.reason, state.delay)
    elif state.name == "open" and state.missed:
        logger.warning("%s: here again. Messages of %.1f s are missing.", name, state.missed)
    elif state.name == "open":
        logger.info("%s listens to %s", name, path)
