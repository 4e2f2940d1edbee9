"""One connection that listens, and the policy for messages that its client does not take in time.

The rules:

- A subscriber has a send buffer for messages that its client has not taken. The buffer refers to shared bytes.
- A batch is accepted as a whole while at most ``SUBSCRIBER_BUFFER`` bytes are buffered. So one request, however large,
  never closes a subscriber that has taken all earlier messages.
- A buffer may exceed its bound for :data:`GRACE_PERIOD` seconds, because a publisher on the event loop cannot wait.
  ``MAX_PENDING_BYTES`` bounds all buffers together.
- After that time the subscriber is closed with 1013 ("try again later", RFC 6455 section 7.4.1 and the IANA registry),
  so that the client knows that it missed messages and reconnects. With ``SLOW_SUBSCRIBERS = "drop"`` the subscriber
  loses whole batches until its buffer is below the bound.
- While more than half the bound is buffered, the publishers of the channel wait, for at most :data:`GRACE_PERIOD`
  seconds: a client that reads has caught up by then.
- A *viewer*, such as the page of a channel, is never closed for being slow. It loses the oldest buffered messages, and
  a notice with their number replaces them. Publishers wait for it no longer than for other subscribers.
- The figures of the channel count each message once for each subscriber: as ``delivered`` when the socket, or the
  server, has taken its last byte, or as ``lost`` when it is dropped.
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
"""Seconds that publishers wait for a subscriber that is behind. They wait again after it has caught up."""

_ids = itertools.count(1)


class Subscriber:
    """One connection that listens to one channel, or to all channels that match one pattern.

    Each subclass implements one way of writing. :meth:`Hub.subscribe` adds an instance, :meth:`Hub.unsubscribe` removes
    it.

    :param peer: the client's address as the server reports it, or an empty string.
    :param user: the name of the client's user, or an empty string.
    :param identity: the identity of that user, see ``Permit.identity``.
    :param address: the address for the limit on subscribers per address, or an empty string.
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
    """The way of writing, for figures and logs."""

    send: Callable[[bytes], int] | None = None
    """A non-blocking write to the socket that returns how many bytes were taken; None if there is no socket."""

    def __init__(self, *, peer: str = "", user: str = "", identity: str = "", address: str = "") -> None:
        self.id = next(_ids)
        """A number that is unique in this process."""
        self.peer = peer
        self.user = user
        self.identity = identity
        self.address = address
        self.connected_at = time.time()
        """Seconds since the epoch."""
        self.encoder: Encoder = FRAMES
        """Encodes messages for its client. The hub replaces it for a pattern, see ``encoders.FOR_PATTERNS``."""
        self.hub: Any = None
        """The hub, while it is subscribed; otherwise None."""
        self.wanted: str | Pattern = ""
        """The channel's name or the pattern."""
        self.reservation: Place | None = None
        self.on_end: Callable[[], object] | None = None
        """Called by :meth:`Hub.unsubscribe`."""
        self.channel: LocalChannel | None = None
        """The local channel; None before it is added and after :meth:`leave`."""
        self.position = -1
        """The index in a fast path; -1 on the slow path."""
        self.pending = 0
        """Bytes in the send buffer."""
        self.lost = 0
        """Messages that the client did not get: it was too slow, or left before it had taken them."""
        self.losing = False
        """Whether a burst of losses is going on, which is logged once."""
        self.closed = False
        """Whether the server has closed the connection."""
        self.watching = False
        """Whether it is a page of the admin, which no figure counts. To be set before subscribing."""
        self.viewer = False
        """Whether it loses its oldest messages when it is slow, and not its connection. To be set before subscribing,
        for a client that knows ``notices.lost(count)``: the notice takes the place of ``count`` missing messages. One
        notice may count several bursts."""
        self._behind_since = 0.0

    @property
    def pattern(self) -> str:
        """The text of its pattern; empty if it listens to a channel."""
        return "" if isinstance(self.wanted, str) else self.wanted.text

    # --- implemented by subclasses ----------------------------------------------------------------------------------

    def write(self, batch: Batch) -> int:
        """Write or buffer messages, after all earlier ones. Never blocks, and never raises if the client has gone.

        :returns: how many messages were written; the others are buffered.
        """
        raise NotImplementedError

    def write_rest(self, batch: Batch, taken: int) -> None:
        """Buffer the bytes of a batch after the first ``taken``, which :attr:`send` took."""
        raise NotImplementedError

    def end_with(self, closing: Closing) -> None:
        """Write the last bytes, such as a close frame, and end the connection. Called by :meth:`close`, once."""
        raise NotImplementedError

    def flush(self) -> None:
        """Write buffered bytes that the socket takes now."""

    def abort(self) -> None:
        """End the connection and drop the buffer. Called if :meth:`close` has left many bytes pending."""

    def release(self) -> None:
        """Empty the buffer, because the connection is over."""

    def drop_oldest(self, excess: int) -> bool:
        """Replace at least ``excess`` bytes of the oldest buffered messages by a notice of the loss.

        :returns: whether messages were dropped.
        """
        return False

    # --- called by channels, hubs and subclasses --------------------------------------------------------------------

    def close(self, closing: Closing) -> None:
        """Leave the channel and close the connection. Safe to call again."""
        if not self.closed:
            self.closed = True
            self.leave()  # The channel must write nothing after the close frame.
            self.end_with(closing)

    def deliver(self, batch: Batch) -> int:
        """Write a batch, or apply the policy for slow clients; returns how many messages are delivered."""
        if self.pending > conf.SUBSCRIBER_BUFFER and not self.delays_publishers(time.monotonic()):
            if not self.viewer:
                return self._overflow(batch)
            self.drop_to(conf.SUBSCRIBER_BUFFER // 2)
        written = self.write(batch)
        return 0 if self.watching else written

    def delays_publishers(self, now: float) -> bool:
        """Whether publishers should still wait for this subscriber, if it is behind."""
        return now - self._behind_since < GRACE_PERIOD

    def note_pending(self) -> None:
        """To be called after bytes were buffered."""
        if not self._behind_since and self.pending > conf.SUBSCRIBER_BUFFER // 2 and self.channel is not None:
            self._behind_since = time.monotonic()
            self.channel.behind.add(self)

    def note_progress(self) -> None:
        """To be called after buffered bytes were written."""
        # A viewer that loses messages counts as behind until its buffer is empty. Otherwise publishers would wait for
        # it again and again.
        enough = 0 if self.viewer and self.losing else conf.SUBSCRIBER_BUFFER // 2
        if self._behind_since and self.pending <= enough:
            self._behind_since, self.losing = 0.0, False
            if self.channel is not None:
                self.channel.behind.discard(self)

    def enter_fast_path(self) -> None:
        """Called when the buffer is empty: the channel may call :attr:`send`."""
        if self.channel is not None:
            self.channel.enter_fast_path(self)

    def leave_fast_path(self) -> None:
        """Called when bytes are buffered: new messages have to follow them."""
        if self.channel is not None:
            self.channel.leave_fast_path(self)

    def leave(self) -> None:
        """Leave the channel, because the connection is closing or over."""
        if self.channel is not None:
            self.channel.discard(self)

    def drop_to(self, size: int) -> None:
        """Drop the oldest buffered messages until at most ``size`` bytes are left. A notice replaces them."""
        if self.drop_oldest(self.pending - size):
            self._log_loss("Dropping the oldest messages for")

    def _overflow(self, batch: Batch) -> int:
        """Apply the policy for slow clients to a batch."""
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
        """Count messages that the subscriber does not get, and that were not buffered."""
        self.lost += messages
        if self.channel is not None and not self.watching:
            self.channel.lost += messages

    def __repr__(self) -> str:
        channel = names.quoted(self.channel.name) if self.channel else None
        return f"<Subscriber {self.peer or '?'} of {channel} by {self.transport}>"
