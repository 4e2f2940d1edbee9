"""The hub: receives the messages of each channel once, and writes them to all subscribers of one event loop.

The hub joins the channel layer's group of a channel for the first subscriber and leaves it after the last. It writes
the pending messages of one channel after the other, in slices of a few milliseconds. Each event loop has its own hub.
Only methods that are marked as safe in any thread may be called from other threads.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from eventcast.engine import messages, names
from eventcast.engine.closing import GOING_AWAY
from eventcast.engine.encoders import FOR_PATTERNS
from eventcast.engine.fanout import LocalChannel
from eventcast.engine.figures import past_figures
from eventcast.engine.incoming import Incoming
from eventcast.engine.keepalive import Keepalive
from eventcast.engine.logs import SteadyLogger
from eventcast.engine.memberships import Memberships
from eventcast.engine.memory import PendingMemory
from eventcast.engine.pattern_index import PatternIndex
from eventcast.engine.patterns import Pattern
from eventcast.engine.quotas import quotas
from eventcast.engine.readers import Readers
from eventcast.engine.subscribers import Subscriber

logger = SteadyLogger("eventcast.hub")

SLICE = 0.005
"""Seconds of writing until the event loop runs other callbacks: handshakes, pings and publishes."""

MAX_IMMEDIATE = 8
"""Channels with at most so many subscribers are written to immediately. Channels with more join all messages that are
published in one iteration of the event loop."""


class Hub:
    """All channels with subscribers on one event loop. :func:`current_hub` returns it."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.channels: dict[str, LocalChannel] = {}
        self.memory = PendingMemory()
        self.keepalive = Keepalive()
        self.readers = Readers()
        self.stopping = False
        """Whether the server is shutting down: new subscribers are refused."""
        self._loop = weakref.ref(loop)
        alive = weakref.ref(self)  # The layer must not keep the hub alive after its loop has ended.

        def receive(event: dict[str, Any]) -> None:
            if (hub := alive()) is not None:
                hub.receive(event)

        self._memberships = memberships = Memberships(receive)
        self.patterns = PatternIndex(lambda pattern: memberships.count_changed(names.ALL))
        self._queue: deque[LocalChannel] = deque()
        self._running = False
        self.incoming = Incoming(self._loop, self._accept, self._lose)

    def __del__(self) -> None:
        # The event loop has ended with subscribers: keep their figures, and release their reservations.
        for channel in [*self.channels.values(), *self.patterns]:
            channel.retire()
            for place in [each.reservation for each in channel if each.reservation is not None]:
                quotas.release(place)
        self._memberships.forget()

    async def subscribe(self, wanted: str | Pattern, subscriber: Subscriber) -> None:
        """Subscribe to a channel, or to all channels that match a pattern, until :meth:`unsubscribe`.

        :raises LayerUnavailable: the channel layer cannot be reached.
        :raises Refused: a limit is reached, see ``eventcast.engine.quotas``.
        """
        reservation = quotas.reserve(wanted, subscriber.address)
        try:
            await self._memberships.join(_group_for(wanted))
        except BaseException:
            quotas.release(reservation)
            raise
        subscriber.reservation, subscriber.hub, subscriber.wanted = reservation, self, wanted
        if isinstance(wanted, Pattern):
            subscriber.encoder = FOR_PATTERNS.get(subscriber.encoder, subscriber.encoder)
            channel = self.patterns.get_or_create(wanted)
        else:
            if wanted not in self.channels:
                self.channels[wanted] = LocalChannel(wanted, self._memberships.count_changed)
            channel = self.channels[wanted]
        channel.add(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """The reverse of :meth:`subscribe`. Safe to call again."""
        subscriber.leave()
        if subscriber.hub is not self or subscriber.reservation is None:
            return
        subscriber.release()
        quotas.release(subscriber.reservation)
        subscriber.reservation = subscriber.hub = None
        if subscriber.on_end is not None:
            subscriber.on_end()
            subscriber.on_end = None
        wanted = subscriber.wanted
        channel = self.patterns.get(wanted) if isinstance(wanted, Pattern) else self.channels.get(wanted)
        if channel is not None and not channel.count and not channel.watchers:
            with past_figures.lock:  # The totals must not miss the channel.
                if isinstance(wanted, Pattern):
                    self.patterns.remove(wanted)
                else:
                    del self.channels[wanted]
                channel.retire()
        self._memberships.leave(_group_for(wanted))

    def channels_for(self, name: str) -> tuple[LocalChannel, ...]:
        """The local channels that get the messages of ``name``: its own and those of matching patterns."""
        own = self.channels.get(name)
        by_pattern = self.patterns.matching(name)
        return by_pattern if own is None else (*by_pattern, own)

    def receive(self, event: dict[str, Any]) -> None:
        """Called with each event of the channel layer. Safe in any thread."""
        loop = self._loop()
        if loop is not None and loop is running_loop():
            if self.incoming:
                self.incoming.take()
            self._accept(event)
        else:
            self.incoming.put(event)

    def _lose(self, event: dict[str, Any]) -> None:
        name, count = event["channel"], len(event["messages"])
        for channel in self.channels_for(name):
            channel.lost += channel.count * count
        logger.warning("%s: %d messages are lost, because the event loop is blocked.", names.quoted(name), count)

    def _accept(self, event: dict[str, Any]) -> None:
        """Add the messages of an event to the channels that get them."""
        try:
            name, by_pattern = event["channel"], event["type"] == messages.PATTERNS_TYPE
            own = self.channels.get(name)
            # The lookup comes before decoding: a message that no pattern matches is not decoded.
            found = self.patterns.matching(name) if by_pattern else () if own is None else (own,)
            if found:
                received = messages.from_layer(event)
                for channel in found:
                    self._enqueue(channel, received)
            elif not by_pattern:
                self._memberships.leave_stale(name)
            elif not self.patterns:
                self._memberships.leave_stale(names.ALL)
        except (KeyError, TypeError, AttributeError, UnicodeEncodeError) as error:
            logger.error("Ignoring an event of the channel layer that is not from eventcast: %r", error)

    def _enqueue(self, channel: LocalChannel, received: list[messages.Message]) -> None:
        channel.publish(received)
        if channel.scheduled:
            return
        channel.scheduled = True  # A log handler may publish meanwhile. That message waits for the end of the pass.
        # A second iteration of the event loop would cost more than the writes to a few subscribers.
        if channel.count <= MAX_IMMEDIATE and self._advance(channel, float("inf")):
            channel.scheduled = False
            return
        self._queue.append(channel)
        if not self._running:
            # Not immediately: other messages of this iteration of the event loop are joined.
            self._running = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        """Write for one slice, then let the event loop run other callbacks."""
        deadline = time.monotonic() + SLICE
        try:
            while self._queue:
                channel = self._queue.popleft()
                channel.scheduled = not self._advance(channel, deadline)
                if channel.scheduled:
                    self._queue.append(channel)
                if time.monotonic() >= deadline:
                    break
        finally:
            if self._queue:
                asyncio.get_running_loop().call_soon(self._run)
            else:
                self._running = False

    def _advance(self, channel: LocalChannel, deadline: float) -> bool:
        try:
            done = channel.advance(deadline)
        except Exception:
            # An error of one channel must not stop the other channels, nor repeat in each slice.
            logger.exception("Writing to %s failed; a batch is lost.", names.quoted(channel.name))
            channel.abandon()
            done = not channel.pending
        if self.memory.total:
            self.memory.enforce()
        return done

    def count_unless_crowded(self, name: str) -> int | None:
        """The number of subscribers of a channel; None if publishers should wait. Safe in any thread."""
        count, found = 0, self.channels_for(name)
        for channel in found:
            if channel.crowded:
                return None
            count += channel.count
        return None if found and self.incoming.crowded else count

    def is_crowded(self, name: str) -> bool:
        """Whether publishers of a channel should wait. Safe in any thread."""
        return self.count_unless_crowded(name) is None

    async def wait_while_crowded(self, name: str) -> None:
        """Wait while a channel is crowded. Runs on any event loop. Returns if the hub's loop ends."""
        loop = self._loop()
        while self.is_crowded(name) and loop is not None and loop.is_running():  # noqa: ASYNC110 (rare, and no event exists)
            await asyncio.sleep(SLICE)

    def wait_while_crowded_in_thread(self, name: str) -> None:
        """The same for a thread without an event loop. Waits for at most five seconds, and not for a blocked loop."""
        self.incoming.wait_while(lambda: self.is_crowded(name))

    def flush_if_crowded(self, name: str) -> None:
        """Write pending messages now if a channel is crowded, because a publisher on this loop cannot wait."""
        if self.is_crowded(name) and running_loop() is self._loop():
            for channel in self.channels_for(name):
                for subscriber in list(channel.behind):
                    subscriber.flush()
                channel.advance(float("inf"))

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Schedule a call of a function on the hub's event loop. Safe in any thread."""
        self.incoming.call(function, *arguments)

    def subscribers(self) -> list[Subscriber]:
        """All subscribers of this event loop."""
        return [subscriber for channel in [*self.channels.values(), *self.patterns] for subscriber in channel]

    def stop(self, *kinds: type[Subscriber]) -> list[Subscriber]:
        """Refuse new subscribers, and close the present ones, or those of some classes. Returns the closed ones."""
        self.stopping = True
        found = [each for each in self.subscribers() if isinstance(each, kinds or Subscriber)]
        for subscriber in found:
            subscriber.close(GOING_AWAY)
        return found


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread; None if none runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _group_for(wanted: str | Pattern) -> str:
    """The channel of the group that a subscription needs."""
    return names.ALL if isinstance(wanted, Pattern) else wanted


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()
_all: list[weakref.ref[Hub]] = []
"""The same hubs. Each publish iterates over them, and iterating over a weak dictionary takes ten times as long."""
# Reentrant: a finalizer may log while the lock is held, and a log handler may publish.
_hubs_lock = threading.RLock()


def current_hub() -> Hub:
    """The hub of the running event loop, created on first use."""
    loop = asyncio.get_running_loop()
    if (hub := _hubs.get(loop)) is None:
        hub = Hub()
        with _hubs_lock:
            hub = _hubs.setdefault(loop, hub)
            _all[:] = [ref for ref in _all if ref() is not None] + [weakref.ref(hub)]
    return hub


def hubs() -> list[Hub]:
    """The hubs of all event loops of this process."""
    return [hub for ref in _all if (hub := ref()) is not None]
