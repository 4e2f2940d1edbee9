"""Several channels on one connection: a *strand* is the subscriber of one of them, and writes to their *carrier*.

The rules:

- A strand has a permit, a place within the limits and figures of its own, and is closed by itself: the client is told
  ``bye`` with the strand's channel, and the others go on. The connection ends with its last strand.
- What the client owes is owed by the carrier. Each strand takes the carrier's bytes for its own, so that publishers of
  its channel wait, and its policy for slow clients holds. A strand that is too slow ends the connection.
"""

from __future__ import annotations

from eventcast.engine import notices
from eventcast.engine.closing import GOING_AWAY, TRY_AGAIN_LATER, Closing
from eventcast.engine.encoders import FOR_PATTERNS, Batch, Encoder, Piece
from eventcast.engine.messages import Message
from eventcast.engine.send_buffer import BufferedSubscriber
from eventcast.engine.subscribers import Subscriber


class Carrier(BufferedSubscriber):
    """A connection that may carry strands. One that does is not subscribed itself."""

    __slots__ = ()

    strands: list[Strand] | None
    """None if it is a plain subscriber."""

    def carry(self, strands: list[Strand]) -> None:
        """Carry these strands, without those that have ended meanwhile."""
        self.strands = [each for each in strands if not each.closed]  # type: ignore[misc]  # a slot of the subclass

    def tell(self, kind: str, text: str) -> None:
        """Write a notice."""
        self.write(_Notice(kind, text))

    def end_if_empty(self) -> None:
        """End the connection if all of its strands have ended. To be called when it is open, too."""
        if self.strands is not None and not self.strands:
            self.close(GOING_AWAY)

    def note_progress(self) -> None:
        super().note_progress()
        for strand in self.strands or ():
            strand.pending = self.pending
            strand.note_progress()

    def leave(self) -> None:
        super().leave()
        for strand in list(self.strands or ()):
            strand.end()


class Strand(Subscriber):
    """The subscriber of one channel on a connection that carries several."""

    __slots__ = ("_carrier",)

    def __init__(self, carrier: Carrier, **described: str) -> None:
        super().__init__(**described)
        self._carrier = carrier
        # The encoder is the carrier's, and names the channel.
        self.encoder = carrier.encoder = FOR_PATTERNS.get(carrier.encoder, carrier.encoder)

    @property
    def transport(self) -> str:  # type: ignore[override]
        return self._carrier.transport

    def deliver(self, batch: Batch) -> int:
        self.pending = self._carrier.pending
        return super().deliver(batch)

    def write(self, batch: Batch) -> int:
        written = self._carrier.write(batch)
        self.pending = self._carrier.pending
        self.note_pending()
        return written

    def insert_first(self, message: Message) -> None:
        """Owe a message before all that were published: to a client that is not written to yet."""
        self._carrier.insert_first(message)

    def flush(self) -> None:
        self._carrier.flush()

    def end_with(self, closing: Closing) -> None:
        if closing.code == TRY_AGAIN_LATER:
            self._carrier.close(closing)  # The client reads nothing: it would not be told.
        else:
            self._carrier.tell("bye", notices.bye(closing, channel=self.wanted))
        self.end()
        self._carrier.end_if_empty()

    def end(self) -> None:
        """Forget the strand."""
        self.closed = True
        if self._carrier.strands and self in self._carrier.strands:
            self._carrier.strands.remove(self)
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
