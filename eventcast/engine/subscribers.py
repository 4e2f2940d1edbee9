"""One live connection that listens, and what becomes of messages it does not take in time.

The rules:

- what a subscriber has not taken is kept by its transport, up to ``SUBSCRIBER_BUFFER`` bytes;
- a subscriber to whom nothing is owed takes any message that may be published, however large;
- past the bound it is closed with 1013 ("try again later", RFC 6455 section 7.4.1 and the IANA registry), so that it
  knows that it missed something and comes back; or, with ``SLOW_SUBSCRIBERS = "drop"``, it loses whole messages until
  it has room;
- either way every message it does not get is counted.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from eventcast.conf import conf
from eventcast.engine import names
from eventcast.engine.closing import TOO_SLOW
from eventcast.engine.messages import Batch

if TYPE_CHECKING:
    from eventcast.engine.fanout import LocalChannel
    from eventcast.engine.quotas import Place

logger = logging.getLogger("eventcast.subscribe")

_ids = itertools.count(1)


Count = Callable[[int, int], bool]
"""Takes how many frames, and bytes in them, a peer has sent; returns whether that is not too much."""


class Transport:
    """How messages reach one peer. Subclasses know one kind of server each; see ``eventcast.websocket.transports``."""

    name: str = "none"
    """What people read in figures and logs."""

    send: Callable[[bytes], int] | None = None
    """A non-blocking write of raw WebSocket frames that returns how many bytes were taken, or None if there is none."""

    pending: int = 0
    """Bytes handed over that the peer's connection has not taken yet."""

    closed: bool = False
    """Whether the connection was closed from this side."""

    def open(self, subscriber: Subscriber) -> None:
        """The handshake is over: pass on what was written so far, and from now on pass on at once."""
        raise NotImplementedError

    def size_of(self, batch: Batch) -> int:
        """The bytes that the messages take in the form in which they are written."""
        return len(batch.frames)

    def write(self, batch: Batch) -> bool:
        """Pass the messages on after everything written before; never blocks, never raises for a peer that is gone.

        :returns: False if the connection is over and they are not passed on.
        """
        raise NotImplementedError

    def write_rest(self, data: bytes, taken: int) -> None:
        """Pass on what :attr:`send` did not take of ``data``. Only transports with a ``send`` are asked."""
        raise NotImplementedError

    def close(self, code: int, reason: str) -> None:
        """Close the connection with a close frame if possible; nothing is written after it."""
        raise NotImplementedError

    def count_inbound(self, begin: Callable[[], Count]) -> bool:
        """Count what the peer sends as it comes, and pass on nothing of it: this one only listens.

        :param begin: makes what counts, when the first frame comes.
        :returns: False if that cannot be done here, and all is passed on.
        """
        return False

    async def finish(self) -> None:
        """Say goodbye in the task that serves the connection, if :meth:`close` has cancelled it to that end."""

    def release(self) -> None:
        """The subscriber has left: let go of everything."""
        raise NotImplementedError


class Subscriber:
    """One live connection that listens to one channel.

    :param transport: how its messages reach it.
    :param peer: the address it comes from, as the server tells it, or an empty string.
    :param user: the name of the user it is known to be, or an empty string.
    :param address: the address it counts for where those of one address are limited, or an empty string for none.
    """

    __slots__ = (
        "address",
        "channel",
        "connected_at",
        "id",
        "identity",
        "losing",
        "lost",
        "peer",
        "place",
        "position",
        "transport",
        "user",
    )

    def __init__(
        self, transport: Transport, *, peer: str = "", user: str = "", address: str = "", identity: str = ""
    ) -> None:
        self.id = next(_ids)
        """Its number, unique in this process."""
        self.transport = transport
        self.peer = peer
        self.user = user
        self.identity = identity
        self.address = address
        self.place: Place | None = None
        """The place it has taken among all subscribers of the process."""
        self.connected_at = time.time()
        """Seconds since the epoch."""
        self.lost = 0
        """Messages it did not get because it was too slow."""
        self.losing = False
        """Whether it is losing messages right now, so that a burst of losses is one line in the log."""
        self.channel: LocalChannel | None = None
        """The channel it hears; None before it is added and from the moment its connection closes."""
        self.position = -1
        """Where it stands in its channel's list of those that are written to straight; -1 if it does not."""

    def deliver(self, batch: Batch) -> int:
        """Hand the messages to the transport, within the bound; returns how many it was handed."""
        transport = self.transport
        pending = transport.pending
        if not pending or pending + transport.size_of(batch) <= conf.SUBSCRIBER_BUFFER:
            if self.losing and pending <= conf.SUBSCRIBER_BUFFER // 2:
                self.losing = False  # Not at the edge, where a burst would end and begin with every message.
            if transport.write(batch):
                return len(batch)
            self.leave()  # It has said goodbye: nobody's loss.
            return 0
        return self._overflow(batch)

    def straighten(self) -> None:
        """Its transport has nothing pending any more: it may be written to straight."""
        self.losing = False
        if self.channel is not None:
            self.channel.straighten(self)

    def hold(self) -> None:
        """Its transport has something pending: what comes now has to wait behind it."""
        if self.channel is not None:
            self.channel.hold(self)

    def leave(self) -> None:
        """Its connection is closing or gone: nothing more is written to it."""
        if self.channel is not None:
            self.channel.discard(self)

    def _overflow(self, batch: Batch) -> int:
        """Apply the policy to messages there is no room for; returns how many of them were delivered after all."""
        transport = self.transport
        pending, room, delivered = transport.pending, conf.SUBSCRIBER_BUFFER - transport.pending, 0
        drop = conf.SLOW_SUBSCRIBERS == "drop"
        if not self.losing:
            logger.warning(
                "%s a subscriber of %s that does not read: peer %s, %d bytes pending (EVENTCAST['SUBSCRIBER_BUFFER']).",
                "Dropping messages for" if drop else "Closing",
                names.quoted(self.channel.name) if self.channel else "?",
                self.peer or "unknown",
                pending,
            )
            self.losing = True
        if drop:
            for alone in (Batch([message]) for message in batch.messages):
                size = transport.size_of(alone)
                if size <= room and transport.write(alone):
                    room -= size
                    delivered += 1
        self.lost += len(batch) - delivered
        if self.channel is not None:
            self.channel.lost += len(batch) - delivered
        if not drop:
            transport.close(*TOO_SLOW)
            self.leave()
        return delivered

    def __repr__(self) -> str:
        channel = names.quoted(self.channel.name) if self.channel else None
        return f"<Subscriber {self.peer or '?'} of {channel} by {self.transport.name}>"
