"""The hub: this process's one receiver of each channel, however many subscribers hear it here.

The hub joins the channel layer's group of a path when the first subscriber of that path comes and leaves the group with
the last, and gives each channel that has something pending its turn to write, a few milliseconds at a time. There is
one hub for each event loop; everything in it happens on that loop, but for reading counts and :meth:`Hub.receive`.
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
"""Seconds of writing before handshakes, pings and publishes get their turn."""

MAX_IMMEDIATE = 8
"""Subscribers of a channel that is written to as soon as something is published. With more, what else is published in
the same turn of the event loop is joined to it."""


class Hub:
    """All channels with subscribers on one event loop. Get it with :func:`current_hub`."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.channels: dict[str, LocalChannel] = {}
        self.patterns = PatternIndex()
        self.memory = PendingMemory()
        self.keepalive = Keepalive()
        self.readers = Readers()
        self.stopping = False
        """Whether the server is shutting down: no subscriber is let in any more."""
        self._loop = weakref.ref(loop)
        alive = weakref.ref(self)  # The layer must not keep the hub of a loop that has ended.

        def receive(event: dict[str, Any]) -> None:
            if (hub := alive()) is not None:
                hub.receive(event)

        self._memberships = Memberships(receive)
        self._queue: deque[LocalChannel] = deque()
        self._running = False
        self.incoming = Incoming(self._loop, self._accept, self._lose)

    def __del__(self) -> None:
        # The event loop has ended before its subscribers: the figures of the process do not fall, its places are free.
        for channel in [*self.channels.values(), *self.patterns]:
            channel.retire()
            for place in [each.reservation for each in channel if each.reservation is not None]:
                quotas.release(place)
        self._memberships.forget()

    async def subscribe(self, wanted: str | Pattern, subscriber: Subscriber) -> None:
        """Let ``subscriber`` hear a channel, or all that match a pattern in envelopes, until :meth:`unsubscribe`.

        :raises LayerUnavailable: the channel layer cannot be reached.
        :raises Refused: there are as many subscribers as there may be, see ``eventcast.engine.quotas``.
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
            channel = self.channels.get(wanted) or self.channels.setdefault(wanted, LocalChannel(wanted))
        channel.add(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Forget a subscriber that :meth:`subscribe` has let in. Nothing happens if it is forgotten already."""
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
            with past_figures.lock:  # The figures of the process do not fall meanwhile.
                if isinstance(wanted, Pattern):
                    self.patterns.remove(wanted)
                else:
                    del self.channels[wanted]
                channel.retire()
        self._memberships.leave(_group_for(wanted))

    def channels_for(self, name: str) -> tuple[LocalChannel, ...]:
        """The local channels whose subscribers hear the channel ``name``: its own and those of patterns."""
        own = self.channels.get(name)
        by_pattern = self.patterns.matching(name)
        return by_pattern if own is None else (*by_pattern, own)

    def receive(self, event: dict[str, Any]) -> None:
        """Take what came from the channel layer, in any thread."""
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
        logger.warning("%s: %d messages are lost, the event loop is blocked.", names.quoted(name), count)

    def _accept(self, event: dict[str, Any]) -> None:
        """Put what came from the layer in line to be written."""
        try:
            name, by_pattern = event["channel"], event["type"] == messages.PATTERNS_TYPE
            own = self.channels.get(name)
            # Looked for before anything is decoded: a message that no pattern matches costs nothing here.
            heard = self.patterns.matching(name) if by_pattern else () if own is None else (own,)
            if heard:
                received = messages.from_layer(event)
                for channel in heard:
                    self._enqueue(channel, received)
            elif not by_pattern:
                self._memberships.leave_stale(name)
            elif not self.patterns:
                self._memberships.leave_stale(names.ALL)
        except (KeyError, TypeError, AttributeError, UnicodeEncodeError) as error:
            logger.error("What came from the channel layer is not from eventcast and is ignored: %r", error)

    def _enqueue(self, channel: LocalChannel, received: list[messages.Message]) -> None:
        channel.publish(received)
        if channel.scheduled:
            return
        channel.scheduled = True  # What a log handler publishes meanwhile waits for the end of the pass.
        # A second turn of the event loop would cost more than the writes to a few subscribers.
        if channel.count <= MAX_IMMEDIATE and self._advance(channel, float("inf")):
            channel.scheduled = False
            return
        self._queue.append(channel)
        if not self._running:
            # Not at once: what else came in this turn of the event loop is joined to it.
            self._running = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        """Write for the length of a slice, then let others have the event loop."""
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
            # A fault of one channel must not keep all others from being written, nor be met again at every turn.
            logger.exception("Writing to %s failed; a batch is lost.", names.quoted(channel.name))
            channel.abandon()
            done = not channel.pending
        if self.memory.total:
            self.memory.enforce()
        return done

    def count_unless_crowded(self, name: str) -> int | None:
        """How many subscribers hear a channel; None if a publisher should wait. Safe in any thread."""
        count, found = 0, self.channels_for(name)
        for channel in found:
            if channel.crowded:
                return None
            count += channel.count
        return None if found and self.incoming.crowded else count

    def is_crowded(self, name: str) -> bool:
        """Whether a publisher of a channel should wait. Safe in any thread."""
        return self.count_unless_crowded(name) is None

    async def wait_while_crowded(self, name: str) -> None:
        """Wait while it is crowded, on any event loop; not for a loop that has ended."""
        loop = self._loop()
        while self.is_crowded(name) and loop is not None and loop.is_running():  # noqa: ASYNC110 (rare, and no event for it)
            await asyncio.sleep(SLICE)

    def wait_while_crowded_in_thread(self, name: str) -> None:
        """The same for a thread without an event loop: for five seconds, and not while the hub's loop is blocked."""
        self.incoming.wait_while(lambda: self.is_crowded(name))

    def flush_if_crowded(self, name: str) -> None:
        """Write at once what sockets take, for a publisher on this loop."""
        if self.is_crowded(name) and running_loop() is self._loop():
            for channel in self.channels_for(name):
                for subscriber in list(channel.behind):
                    subscriber.flush()
                channel.advance(float("inf"))

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function on the hub's event loop, a moment later. Safe in any thread."""
        self.incoming.call(function, *arguments)

    def subscribers(self) -> list[Subscriber]:
        """All subscribers of this loop."""
        return [subscriber for channel in [*self.channels.values(), *self.patterns] for subscriber in channel]

    def stop(self, *kinds: type[Subscriber]) -> list[Subscriber]:
        """The server stops: let no subscriber in any more and close all, or those of some kinds. Returns them."""
        self.stopping = True
        found = [each for each in self.subscribers() if isinstance(each, kinds or Subscriber)]
        for subscriber in found:
            subscriber.close(GOING_AWAY)
        return found


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this call. Not told by the thread, because loops may take turns in one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _group_for(wanted: str | Pattern) -> str:
    """What the process has to be a member of for a subscription."""
    return names.ALL if isinstance(wanted, Pattern) else wanted


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()
_all: list[weakref.ref[Hub]] = []
"""The same hubs: a weak dictionary takes ten times as long to go through, and each publish does."""
# Reentrant: the garbage collector may run a finalizer in here that logs, and a log handler may publish.
_hubs_lock = threading.RLock()


def current_hub() -> Hub:
    """The hub of the running event loop; made on first use."""
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
