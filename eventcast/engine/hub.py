"""The hub: this process's one receiver of each channel, however many subscribers hear it here.

It joins the channel layer's group of a path when the first subscriber of that path comes and leaves it with the last,
and gives every channel that has something pending its turn to write, a few milliseconds at a time. There is one hub for
each event loop; everything in it happens on that loop, but for reading counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from eventcast.engine import messages, names
from eventcast.engine.closing import GOING_AWAY, OPERATOR
from eventcast.engine.fanout import BACKLOG_LIMIT, LocalChannel
from eventcast.engine.figures import Figures
from eventcast.engine.memberships import Memberships
from eventcast.engine.pattern_tree import PatternTree
from eventcast.engine.patterns import Pattern
from eventcast.engine.quotas import quotas
from eventcast.engine.subscribers import Subscriber, Transport

logger = logging.getLogger("eventcast.hub")

SLICE = 0.005
"""Seconds of writing before handshakes, pings and publishes get their turn."""


class Hub:
    """All channels with subscribers on one event loop. Get it with :func:`current_hub`."""

    def __init__(self) -> None:
        self.channels: dict[str, LocalChannel] = {}
        self.patterns = PatternTree()
        self.stopping = False
        """Whether the server is shutting down: nobody is let in any more."""
        self.past = Figures()
        """What came to pass on channels that nobody listens to any more."""
        self._loop = weakref.ref(asyncio.get_running_loop())
        self._memberships = Memberships(self._accept)
        self._in_line: deque[LocalChannel] = deque()
        self._running = False

    async def subscribe(self, wanted: str | Pattern, subscriber: Subscriber) -> None:
        """Let ``subscriber`` hear a channel, or all that match a pattern, until :meth:`unsubscribe`.

        Who listens by a pattern hears each message's :attr:`~eventcast.engine.messages.Message.envelope`.

        :raises LayerUnavailable: the channel layer cannot be reached.
        :raises Refused: there are as many subscribers as there may be, see ``eventcast.engine.quotas``.
        """
        place = quotas.reserve(wanted, subscriber.address)
        try:
            await self._memberships.join(_joined_for(wanted))
        except BaseException:
            quotas.release(place)
            raise
        subscriber.place = place
        if isinstance(wanted, Pattern):
            channel = self.patterns.make(wanted)
        elif (found := self.channels.get(wanted)) is not None:
            channel = found
        else:
            channel = self.channels[wanted] = LocalChannel(wanted)
        channel.add(subscriber)

    async def unsubscribe(self, wanted: str | Pattern, subscriber: Subscriber) -> None:
        """Forget a subscriber that :meth:`subscribe` has let in."""
        subscriber.leave()
        subscriber.transport.release()
        if subscriber.place is not None:
            quotas.release(subscriber.place)
            subscriber.place = None
        channel = self.patterns.get(wanted) if isinstance(wanted, Pattern) else self.channels.get(wanted)
        if channel is not None and not channel.count:
            # Before the layer is told, which may take a while: who comes meanwhile begins anew.
            if isinstance(wanted, Pattern):
                self.patterns.remove(wanted)
            else:
                del self.channels[wanted]
            self.past += channel.figures
        await self._memberships.leave(_joined_for(wanted))

    def heard_by(self, name: str) -> list[LocalChannel]:
        """The local channels whose subscribers hear the channel ``name``: its own and those of patterns."""
        found = [*self.patterns.matching(name)]
        if (channel := self.channels.get(name)) is not None:
            found.append(channel)
        return found

    def _accept(self, event: dict[str, Any]) -> None:
        """Put what came from the layer in line to be written."""
        try:
            if event["type"] == messages.PATTERNS_TYPE:
                # Looked for before anything is decoded: a message that no pattern matches is to cost nothing here.
                if channels := self.patterns.matching(event["channel"]):
                    enveloped = [message.envelope for message in messages.from_layer(event)[1]]
                    for channel in channels:
                        self._line_up(channel, enveloped)
                elif not self.patterns and names.ALL not in self._memberships:
                    self._memberships.leave_unwanted(names.ALL)
                return
            name, received = messages.from_layer(event)
        except (KeyError, TypeError, AttributeError) as error:
            logger.error("What came from the channel layer is not from eventcast and is ignored: %r", error)
            return
        if (found := self.channels.get(name)) is not None:
            self._line_up(found, received)
        elif name not in self._memberships:
            self._memberships.leave_unwanted(name)

    def _line_up(self, channel: LocalChannel, received: list[messages.Message]) -> None:
        channel.publish(received)
        if not channel.scheduled:
            channel.scheduled = True
            self._in_line.append(channel)
        if not self._running:
            # Not at once: what else came in this turn of the event loop is joined to it.
            self._running = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        """Write for the length of a slice, then let others have the event loop."""
        deadline = time.monotonic() + SLICE
        while self._in_line:
            channel = self._in_line.popleft()
            if channel.advance(deadline):
                channel.scheduled = False
            else:
                self._in_line.append(channel)
            if time.monotonic() >= deadline:
                break
        if self._in_line:
            asyncio.get_running_loop().call_soon(self._run)
        else:
            self._running = False

    async def make_room(self, name: str) -> None:
        """Wait while so much is waiting to be written on a channel that more might have to be dropped.

        On any event loop; not for one that has ended, whose hub writes nothing any more.
        """
        loop = self._loop()
        for channel in self.heard_by(name):
            while channel.backlog > BACKLOG_LIMIT // 2 and loop is not None and loop.is_running():  # noqa: ASYNC110 (rare, and nothing to signal)
                await asyncio.sleep(SLICE)

    def disconnect(self, name: str, id: int | None = None) -> None:
        """Close the subscriber with this ``id`` that hears a channel, or all of the channel's own.

        Those who hear it by a pattern, and others with it, go only by their ``id``. Safe in any thread; they go a
        moment later.
        """
        self.call(self._disconnect, name, id)

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function on the hub's event loop, a moment later. Safe in any thread."""
        loop = self._loop()
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # closed: nobody is left there
                loop.call_soon_threadsafe(function, *arguments)

    def _disconnect(self, name: str, id: int | None) -> None:
        own = self.channels.get(name, ())
        for subscriber in own if id is None else itertools.chain.from_iterable(self.heard_by(name)):
            if id is None or subscriber.id == id:
                subscriber.transport.close(*OPERATOR)
                subscriber.leave()

    def say_goodbye(self) -> list[Transport]:
        """The server stops: close all subscribers, with a close frame that says so. Returns their transports."""
        self.stopping = True
        transports = []
        for channel in [*self.channels.values(), *self.patterns]:
            for subscriber in channel:
                transports.append(subscriber.transport)
                subscriber.transport.close(*GOING_AWAY)
                subscriber.leave()
        return transports


def _joined_for(wanted: str | Pattern) -> str:
    """What the process has to be a member of for a subscription: which channels a pattern means nobody can tell."""
    return names.ALL if isinstance(wanted, Pattern) else wanted


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()
_hubs_lock = threading.Lock()


def current_hub() -> Hub:
    """The hub of the running event loop; made on first use."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        with _hubs_lock:
            hub = _hubs.setdefault(loop, Hub())
    return hub


def hubs() -> list[Hub]:
    """The hubs of all event loops of this process."""
    with _hubs_lock:
        return list(_hubs.values())
