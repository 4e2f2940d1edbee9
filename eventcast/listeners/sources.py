"""How messages of a server become calls of a listener: a subscription by WebSocket."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

from eventcast.client import State, channel_url, pattern_url, subscribe
from eventcast.client.frames import decode_frame
from eventcast.client.reconnecting import OnState, Outage
from eventcast.client.watching import Watches, watch
from eventcast.exceptions import UndecodableMessage
from eventcast.listeners.alarms import Alarms
from eventcast.listeners.queues import Call
from eventcast.listeners.registry import Registration
from eventcast.listeners.running import Runner

READ_AHEAD = 64
"""Messages that a connection holds before they are put into the queue. They are not counted in the queue's bound."""

logger = logging.getLogger("eventcast.listen")


async def supply(runner: Runner, *, server: str, headers: Mapping[str, str]) -> None:
    """Give a runner its calls until cancelled: one for each message, or one for each alarm.

    :param server: the URL of the server with its mount, such as ``http://host/live``.
    :param headers: headers that each request gets as well.
    :raises Refused: the server refuses the subscription for good.
    :raises ValueError: the server's URL is not one.
    """
    registration = runner.registration
    pattern, on_state = registration.route.pattern, log_states(registration)
    url = channel_url(server, registration.path) if pattern is None else pattern_url(server, pattern)
    if registration.watches:
        alarms = Alarms(runner)
        channels = [registration.path] if pattern is None else []
        watches = Watches(registration.timeout, channels, on_full=alarms.too_many)

        def beat_of(frame: str | bytes) -> str | None:
            found = read_frame(frame, runner)
            return found and found[0]

        await watch(url, watches, alarms.tell, channel_of=beat_of, headers=headers, on_state=on_state)
        return
    subscription = subscribe(url, wait=True, headers=headers, queue=READ_AHEAD, on_state=on_state)
    async with subscription as messages:
        async for frame in messages:
            found = read_frame(frame, runner)
            if found is not None:
                await runner.queue.put(Call(*found, size=sys.getsizeof(found[1])))


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
