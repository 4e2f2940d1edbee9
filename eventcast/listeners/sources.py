"""Where the calls of a listener come from: a WebSocket to a server."""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eventcast.client import channel_url, pattern_url, subscribe
from eventcast.client.envelopes import decode_frame
from eventcast.exceptions import UndecodableMessage
from eventcast.listeners.calls import Call

if TYPE_CHECKING:
    from eventcast.client import AsyncMessages, State
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

    Then nothing more is read, and what was read before is put into it still.

    :raises Refused: the server turned it down for good.
    :raises ValueError: the server's URL is none.
    """
    route = listener.route
    url = channel_url(server.url, listener.path) if route.pattern is None else pattern_url(server.url, route.pattern)
    connection = Connection(listener.name, listener.path)
    subscription = subscribe(url, wait=True, headers=server.headers, queue=READ_AHEAD, on_state=connection.take)
    async with subscription as messages:
        try:
            async for frame in messages:
                await _put(frame, listener, runner)
        except asyncio.CancelledError:
            # All at once: who waits in between reads more.
            for frame in list(_read_ahead(messages)):
                await _put(frame, listener, runner)
            raise


async def _put(frame: str | bytes, listener: Listener, runner: Runner) -> None:
    channel, data = listener.path, frame
    if listener.route.pattern is not None:
        try:
            channel, data = decode_frame(frame)
        except UndecodableMessage as error:
            runner.refuse(error)
            return
        if not listener.route.has(channel):
            return
    await runner.put(Call(functools.partial(listener.arguments, channel, data), channel, sys.getsizeof(data)))


def _read_ahead(messages: AsyncMessages) -> Iterator[str | bytes]:
    """The messages that can be had without waiting: those that were read from the connection already."""
    while True:
        # Run by hand as far as it goes: to await it with a timeout of 0 gets nothing, and with more than that reads on.
        reading = messages.__anext__()
        try:
            reading.send(None)
        except StopIteration as found:
            yield found.value
        except StopAsyncIteration:
            return
        else:
            reading.close()
            return


class Connection:
    """Logs what becomes of a listener's connection: once that it is lost, and not each time that it is tried again."""

    def __init__(self, name: str, path: str) -> None:
        self._name, self._path = name, path
        self._reason: str | None = None
        """Why it is not open, as was told last."""

    def take(self, state: State) -> None:
        """For ``on_state`` of a subscription."""
        if state.name == "waiting":
            level = logging.WARNING if self._reason is None else logging.INFO
            if state.reason == self._reason:
                level = logging.DEBUG
            self._reason = state.reason
            logger.log(level, "%s: %s. Trying again in %.1f s.", self._name, state.reason.rstrip("."), state.delay)
        elif state.name == "open":
            self._reason = None
            if state.missed:
                logger.warning("%s: here again. Messages of %.1f s are missing.", self._name, state.missed)
            else:
                logger.info("%s listens to %s", self._name, self._path)
