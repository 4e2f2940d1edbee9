"""Several channels on one connection, with one subscriber for each channel.

The rules:

- Each subscriber has its own permit, place within the limits and figures, and is closed separately: the client gets a
  ``bye`` with the channel, and the other subscribers continue. The connection ends with its last subscriber.
- The connection has the only send buffer. Each subscriber reports the connection's pending bytes as its own, so that
  its publishers wait and the policy for slow clients applies. A subscriber that is too slow ends the connection.
"""

from __future__ import annotations

from eventcast.engine import notices
from eventcast.engine.closing import GOING_AWAY, TRY_AGAIN_LATER, Closing
from eventcast.engine.encoders import FOR_PATTERNS, Batch, Encoder, Piece
from eventcast.engine.messages import Message
from eventcast.engine.send_buffer import BufferedSubscriber
from eventcast.engine.subscribers import Subscriber


class MultiplexedConnection(BufferedSubscriber):
    """A connection that is either one subscriber, or shared by several and then not subscribed itself."""

    __slots__ = ()

    subscribers: list[MultiplexedSubscriber] | None
    """None if the connection is one subscriber."""

    def set_subscribers(self, subscribers: list[MultiplexedSubscriber]) -> None:
        """Share the connection between those of these subscribers that are not closed yet."""
        self.subscribers = [each for each in subscribers if not each.closed]  # type: ignore[misc]  # a slot of the subclass

    def send_notice(self, kind: str, text: str) -> None:
        """Write a notice."""
        self.write(_Notice(kind, text))

    def end_if_empty(self) -> None:
        """Close the connection if all its subscribers have ended. Also call this after opening it."""
        if self.subscribers is not None and not self.subscribers:
            self.close(GOING_AWAY)

    def note_progress(self) -> None:
        super().note_progress()
        for subscriber in self.subscribers or ():
            subscriber.pending = self.pending
            subscriber.note_progress()

    def leave(self) -> None:
        super().leave()
        for subscriber in list(self.subscribers or ()):
            subscriber.end()


class MultiplexedSubscriber(Subscriber):
    """The subscriber of one channel on a shared connection."""

    __slots__ = ("_connection",)

    def __init__(self, connection: MultiplexedConnection, **described: str) -> None:
        super().__init__(**described)
        self._connection = connection
        # On a shared connection each message has to name its channel.
        self.encoder = connection.encoder = FOR_PATTERNS.get(connection.encoder, connection.encoder)

    @property
    def transport(self) -> str:  # type: ignore[override]
        return self._connection.transport

    def deliver(self, batch: Batch) -> int:
        self.pending = self._connection.pending
        return super().deliver(batch)

    def write(self, batch: Batch) -> int:
        written = self._connection.write(batch)
        self.pending = self._connection.pending
        self.note_pending()
        return written

    def insert_first(self, message: Message) -> None:
        """Put a message before all others in the send buffer of a connection that is not open yet."""
        self._connection.insert_first(message)

    def flush(self) -> None:
        self._connection.flush()

    def end_with(self, closing: Closing) -> None:
        if closing.code == TRY_AGAIN_LATER:
            self._connection.close(closing)  # The client does not read, so a notice would not arrive.
        else:
            self._connection.send_notice("bye", notices.bye(closing, channel=self.wanted))
        self.end()
        self._connection.end_if_empty()

    def end(self) -> None:
        """Unsubscribe without telling the client."""
        self.closed = True
        if self._connection.subscribers and self in self._connection.subscribers:
            self._connection.subscribers.remove(self)
        if self.hub is not None:
            self.hub.unsubscribe(self)


class _Notice(Batch):
    """A batch without messages."""

    __slots__ = ("_kind", "_text")

    def __init__(self, kind: str, text: str) -> None:
        super().__init__([])
        self._kind, self._text = kind, text

    def piece(self, encoder: Encoder) -> Piece:
        return Piece(encoder.notice(self._kind, self._text))
