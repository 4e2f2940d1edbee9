"""How messages of a server become calls of a listener: a subscription by WebSocket."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from eventcast.client import State, channel_url, pattern_url, subscribe
from eventcast.client.reconnecting import OnState, Outage
from eventcast.client.subscribing import decode_frame
from eventcast.exceptions import UndecodableMessage
from eventcast.listeners.calls import Call
from eventcast.listeners.registry import Listener, Registration
from eventcast.listeners.running import Runner

READ_AHEAD = 64
"""Messages that a connection holds before they are put into the queue. They are not counted in the queue's bound."""

logger = logging.getLogger("eventcast.listen")


@dataclass(frozen=True)
class Server:
    """The server that listeners subscribe to."""

    url: str
    headers: Mapping[str, str]

    def url_of(self, registration: Registration) -> str:
        """The URL of a listener's channel, or of the pattern of its channels.

        :raises ValueError: the server's URL is not one.
        """
        pattern = registration.route.pattern
        return channel_url(self.url, registration.path) if pattern is None else pattern_url(self.url, pattern)


async def listen(listener: Listener, server: Server, runner: Runner) -> None:
    """Put a call into the runner for each message of the listener's channels, until cancelled.

    :raises Refused: the server refuses the subscription for good.
    :raises ValueError: the server's URL is not one.
    """
    subscription = subscribe(
        server.url_of(listener), wait=True, headers=server.headers, queue=READ_AHEAD, on_state=log_states(listener)
    )
    async with subscription as messages:
        async for frame in messages:
            found = read_frame(frame, runner)
            if found is not None:
                channel, data = found
                prepare = functools.partial(listener.arguments, channel, data)
                await runner.put(Call(prepare, channel, sys.getsizeof(data)))


def read_frame(frame: str | bytes, runner: Runner) -> tuple[str, str | bytes] | None:
    """The channel and the message of a frame; None if the listener does not listen to that channel."""
    registration = runner.registration
    if registration.route.pattern is None:
        return registration.path, frame
    try:
        channel, data = decode_frame(frame)
    except UndecodableMessage as error:
        runner.refuse(error)
        return None
    return (channel, data) if registration.route.has(channel) else None


def log_states(registration: Registration) -> OnState:
    """The ``on_state`` of a listener's subscription: logs each connection, and each outage once."""
    outage = Outage(registration.name, logger.warning, after="Messages of that time are missing.")

    def on_state(state: State) -> None:
        outage.take(state)
        if state.name == "open":
            logger.info("%s listens to %s", registration.name, registration.path)

    return on_state
