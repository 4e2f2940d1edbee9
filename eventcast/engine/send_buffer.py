"""What one client is buffer: the pieces that it has not taken yet, the oldest first.

They are counted in ``pending`` of the subscriber and in the hub's :class:`PendingMemory`. A viewer that is too slow
loses the oldest of them, and a notice of their number takes their place.
"""

from __future__ import annotations

from collections import deque

from eventcast.engine import notices
from eventcast.engine.encoders import PAYLOADS, Piece
from eventcast.engine.messages import Message
from eventcast.engine.subscribers import Subscriber


class BufferedSubscriber(Subscriber):
    """A subscriber that keeps what its client does not take at once."""

    __slots__ = ("_buffer", "_in_flight")

    def __init__(self, **described: str) -> None:
        super().__init__(**described)
        self._buffer: deque[Piece] | None = None
        """None while it is empty."""
        self._in_flight = 0
        """How many of the first pieces are being written, and have to stay."""

    def _append(self, piece: Piece) -> None:
        """Keep a piece until the client takes it."""
        if self._buffer is None:
            self._buffer = deque()
        self._buffer.append(piece)
        self._count_pending(piece)
        self.note_pending()

    def insert_first(self, message: Message) -> None:
        """Owe a message before all that were published: to a client that is not written to yet."""
        piece = Piece(self.encoder.encode([message]), binary=message.binary and self.encoder is PAYLOADS)
        if self._buffer is None:
            self._buffer = deque()
        # Behind what is no message, such as a greeting.
        at = next((at for at, each in enumerate(self._buffer) if each.messages or each.lost), len(self._buffer))
        self._buffer.insert(at, piece)
        self._count_pending(piece)

    def _count_pending(self, piece: Piece) -> None:
        self.pending += piece.size
        if self.hub is not None:
            self.hub.memory.add(piece, self)

    def _count_delivered(self, piece: Piece) -> None:
        """The client has taken a piece. The caller counts what is pending."""
        if piece.account is not None and not self.watching:
            piece.account.settle(delivered=piece.messages)
        if self.hub is not None:
            self.hub.memory.release(piece)

    def _count_dropped(self, piece: Piece) -> None:
        """The client will not get a piece."""
        self.lost += piece.messages
        self.pending -= piece.size
        if piece.account is not None and not self.watching:
            piece.account.settle(lost=piece.messages)
        if self.hub is not None:
            self.hub.memory.release(piece)

    def _clear_buffer(self) -> None:
        """Nothing is owed any more: what the client has not taken is lost."""
        for piece in self._buffer or ():
            self._count_dropped(piece)
        self._buffer, self._in_flight, self.pending = None, 0, 0
        if self.hub is not None:
            self.hub.memory.forget(self)

    def release(self) -> None:
        self._clear_buffer()

    def _next_data(self, at_once: int) -> list[bytes]:
        """The next bytes for the client: small pieces together up to so many bytes, a larger piece by itself."""
        found: list[bytes] = []
        size = 0
        for piece in self._buffer or ():
            size += piece.size
            if found and size > at_once:
                break
            found.append(piece.data)
        self._in_flight = len(found)
        return found

    def _confirm_written(self) -> None:
        """The client has taken what :meth:`_next_data` gave."""
        while self._in_flight and self._buffer:
            piece = self._buffer.popleft()
            self._in_flight -= 1
            self.pending -= piece.size
            self._count_delivered(piece)
        if not self._buffer:
            self._clear_buffer()
        self.note_progress()

    def drop_oldest(self, excess: int) -> bool:
        buffer = self._buffer
        if not buffer:
            return False
        # Pieces without messages, such as answers to pings, stay before the notice.
        kept, lost, missing = [buffer.popleft() for _ in range(self._in_flight)], self.lost, 0
        while buffer and excess > 0:
            piece = buffer.popleft()
            if piece.messages or piece.lost:
                missing += piece.messages + piece.lost
                excess -= piece.size
                self._count_dropped(piece)
            else:
                kept.append(piece)
        if missing:
            notice = Piece(self.encoder.notice("lost", notices.lost(missing)), lost=missing)
            self._count_pending(notice)
            buffer.appendleft(notice)
        buffer.extendleft(reversed(kept))
        return self.lost > lost
