"""One live connection that listens, and the policy for messages that its client does not take in time.

The rules:

- A message that a client has not taken is owed to it: its subscriber keeps references to bytes that all share.
- A batch is accepted while at most ``SUBSCRIBER_BUFFER`` bytes are owed, and then whole. So one request never closes a
  subscriber that has taken what came before, however large the request is.
- A subscriber that reads may be past its bound for :data:`GRACE_PERIOD` seconds, because a publisher on the event loop
  cannot wait for it. What all subscribers owe together is bounded by ``MAX_PENDING_BYTES``.
- Past that time the subscriber is closed with 1013 ("try again later", RFC 6455 section 7.4.1 and the IANA registry),
  so that the client knows that it missed something and comes back; with ``SLOW_SUBSCRIBERS = "drop"`` the subscriber
  loses whole batches until it has room.
- A subscriber that owes more than half its bound holds up the publishers of its channel, for at most
  :data:`GRACE_PERIOD` seconds: a client that reads has caught up by then.
- A *viewer*, such as the page of a channel, is never closed for being slow: it loses the oldest of what it is owed,
  and is told how many messages are missing where they are missing. It holds up publishers no longer than others.
- Each message is counted once for each subscriber of its time, in the figures of the channel: as ``delivered`` when the
  socket, or the server, has its last byte, or as ``lost`` when it is dropped. Until then the message is owed.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from eventcast.conf import conf
from eventcast.engine import names
from eventcast.engine.closing import TOO_SLOW, Closing
from eventcast.engine.encoders import FRAMES, Batch, Encoder
from eventcast.engine.logs import SteadyLogger

if TYPE_CHECKING:
    from eventcast.engine.fanout import LocalChannel
    from eventcast.engine.patterns import Pattern
    from eventcast.engine.quotas import Place

logger = SteadyLogger("eventcast.subscribe")

GRACE_PERIOD = 1.0
"""Seconds for which a subscriber that is behind holds up the publishers of its channel, once until it has caught up."""

_ids = itertools.count(1)


class Subscriber:
    """One live connection that listens to one channel, or to all that match one pattern.

    Subclasses know one way of writing each. An instance is made for a connection that was admitted, is let in by
    :meth:`Hub.subscribe` and ends with :meth:`Hub.unsubscribe`.

    :param peer: the address it comes from, as the server tells it, or an empty string.
    :param user: the name of the user it is known to be, or an empty string.
    :param identity: what that user is, see ``Permit.identity``.
    :param address: the address it counts for where subscribers of one address are limited, or an empty string.
    """

    __slots__ = (
        "_behind_since",
        "address",
        "channel",
        "closed",
        "connected_at",
        "encoder",
        "hub",
        "id",
        "identity",
        "losing",
        "lost",
        "on_end",
        "peer",
        "pending",
        "position",
        "reservation",
        "user",
        "viewer",
        "wanted",
        "watching",
    )

    transport = "asgi"
    """How it is written to, as figures and logs show it."""

    send: Callable[[bytes], int] | None = None
    """A non-blocking write to its socket that returns how many bytes were taken; None if there is none."""

    def __init__(self, *, peer: str = "", user: str = "", identity: str = "", address: str = "") -> None:
        self.id = next(_ids)
        """Its number, unique in this process."""
        self.peer = peer
        self.user = user
        self.identity = identity
        self.address = address
        self.connected_at = time.time()
        """Seconds since the epoch."""
        self.encoder: Encoder = FRAMES
        """Encodes messages for its client. The hub replaces it for a pattern, see ``encoders.FOR_PATTERNS``."""
        self.hub: Any = None
        """The hub that has let it in; None before and after."""
        self.wanted: str | Pattern = ""
        """What it listens to."""
        self.reservation: Place | None = None
        self.on_end: Callable[[], object] | None = None
        """Called when the hub has forgotten it."""
        self.channel: LocalChannel | None = None
        """The channel that it hears; None before it is added and from the moment its connection closes."""
        self.position = -1
        """Its place in its channel's lane; -1 while it is not in one."""
        self.pending = 0
        """Bytes owed to its client."""
        self.lost = 0
        """Messages it did not get: it was too slow, or gone before it had taken them."""
        self.losing = False
        """Whether it is losing messages right now, so that a burst of losses is one line in the log."""
        self.closed = False
        """Whether the connection was closed from this side."""
        self.watching = False
        """Whether it is a page of the admin, which is in no figure. To be set before it is let in."""
        self.viewer = False
        """Whether it loses its oldest messages when it is slow, in place of its connection. To be set before it is let
        in, for a client that knows ``notices.lost(count)``: the notice stands, in order, where ``count`` messages are
        missing. One may count what several bursts have lost."""
        self._behind_since = 0.0

    @property
    def pattern(self) -> str:
        """The pattern by which it listens; empty if it listens to a channel."""
        return "" if isinstance(self.wanted, str) else self.wanted.text

    # --- what a way of writing has to do ----------------------------------------------------------------------------

    def write(self, batch: Batch) -> int:
        """Pass messages on after everything written before. Never blocks; never raises for a client that is gone.

        :returns: how many messages have left; the rest is owed.
        """
        raise NotImplementedError

    def write_rest(self, batch: Batch, taken: int) -> None:
        """Keep what :attr:`send` did not take of a batch. Only subscribers with a ``send`` are asked."""
        raise NotImplementedError

    def end_with(self, closing: Closing) -> None:
        """Write the last bytes, such as a close frame, and end the connection. Called by :meth:`close`, once."""
        raise NotImplementedError

    def flush(self) -> None:
        """Write what can be written now of what is owed."""

    def abort(self) -> None:
        """Cut the connection off, with all that is owed. Asked only if :meth:`close` has left much pending."""

    def release(self) -> None:
        """The connection is over: forget what is owed."""

    def drop_oldest(self, excess: int) -> bool:
        """Take so many bytes of the oldest messages out of what is owed, and put a notice of the loss in their place.

        :returns: whether there were any.
        """
        return False

    # --- what is asked of it ----------------------------------------------------------------------------------------

    def close(self, closing: Closing) -> None:
        """Leave the channel and close the connection. Nothing happens if it is closed already."""
        if not self.closed:
            self.closed = True
            self.leave()  # What a channel writes straight to the socket would follow the close frame.
            self.end_with(closing)

    def deliver(self, batch: Batch) -> int:
        """Take a batch, within the bound; returns how many messages are delivered."""
        if self.pending > conf.SUBSCRIBER_BUFFER and not self.delays_publishers(time.monotonic()):
            if not self.viewer:
                return self._overflow(batch)
            self.drop_to(conf.SUBSCRIBER_BUFFER // 2)
        written = self.write(batch)
        return 0 if self.watching else written

    def delays_publishers(self, now: float) -> bool:
        """Whether publishers should still wait for this subscriber, which is behind."""
        return now - self._behind_since < GRACE_PERIOD

    def note_pending(self) -> None:
        """More bytes are owed. To be called by the code that keeps them."""
        if not self._behind_since and self.pending > conf.SUBSCRIBER_BUFFER // 2 and self.channel is not None:
            self._behind_since = time.monotonic()
            self.channel.behind.add(self)

    def note_progress(self) -> None:
        """Bytes have left. To be called by the code that writes them."""
        # A viewer that loses messages stays behind until it has taken all: it would hold up publishers all the time.
        enough = 0 if self.viewer and self.losing else conf.SUBSCRIBER_BUFFER // 2
        if self._behind_since and self.pending <= enough:
            self._behind_since, self.losing = 0.0, False
            if self.channel is not None:
                self.channel.behind.discard(self)

    def enter_fast_path(self) -> None:
        """Nothing is owed any more: batches may go straight to :attr:`send`."""
        if self.channel is not None:
            self.channel.enter_fast_path(self)

    def leave_fast_path(self) -> None:
        """Something is owed: what comes now has to wait behind it."""
        if self.channel is not None:
            self.channel.leave_fast_path(self)

    def leave(self) -> None:
        """The connection is closing or gone: nothing more is written to it."""
        if self.channel is not None:
            self.channel.discard(self)

    def drop_to(self, room: int) -> None:
        """Drop the oldest messages owed until at most ``room`` bytes are, and put a notice in their place."""
        if self.drop_oldest(self.pending - room):
            self._log_loss("Dropping the oldest messages for")

    def _overflow(self, batch: Batch) -> int:
        """Apply the policy to a batch for which there is no room."""
        drop = conf.SLOW_SUBSCRIBERS == "drop"
        self._log_loss("Dropping messages for" if drop else "Closing")
        self.lose(len(batch))
        if not drop:
            self.close(TOO_SLOW)
        return 0

    def _log_loss(self, what: str) -> None:
        if not self.losing:
            logger.warning(
                "%s a slow subscriber of %s: peer %s, %d bytes pending (EVENTCAST['SUBSCRIBER_BUFFER']).",
                what,
                names.quoted(self.channel.name) if self.channel else "?",
                self.peer or "unknown",
                self.pending,
            )
            self.losing = True

    def lose(self, messages: int) -> None:
        """Count messages that the subscriber does not get, and that were not owed."""
        self.lost += messages
        if self.channel is not None and not self.watching:
            self.channel.lost += messages

    def __repr__(self) -> str:
        channel = names.quoted(self.channel.name) if self.channel else None
        return f"<Subscriber {self.peer or '?'} of {channel} by {self.transport}>"
