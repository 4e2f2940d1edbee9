"""The send buffer of one client: the pieces that it has not taken yet, the oldest first.

Their bytes count in ``pending`` of the subscriber and in the hub's :class:`PendingMemory`. A viewer that is too slow
loses the oldest messages; a notice with their number replaces them.
"""

from __future__ import annotations

from collections import deque

from eventcast.engine import notices
from eventcast.engine.encoders import PAYLOADS, Piece
from eventcast.engine.messages import Message
from eventcast.engine.subscribers import Subscriber


class BufferedSubscriber(Subscriber):
    """A subscriber with a send buffer."""

    __slots__ = ("_buffer", "_in_flight")

    def __init__(self, **described: str) -> None:
        super().__init__(**described)
        self._buffer: deque[Piece] | None = None
        """None while the buffer is empty."""
        self._in_flight = 0
        """How many pieces at the front are being written and must not be dropped."""

    def _append(self, piece: Piece) -> None:
        """Buffer a piece until the client takes it."""
        if self._buffer is None:
            self._buffer = deque()
        self._buffer.append(piece)
        self._count_pending(piece)
        self.note_pending()

    def insert_first(self, message: Message) -> None:
        """Put a message before all others in the buffer of a connection that is not open yet."""
        piece = Piece(self.encoder.encode([message]), binary=message.binary and self.encoder is PAYLOADS)
        if self._buffer is None:
            self._buffer = deque()
        # After pieces that are no messages, such as a greeting.
        at = next((at for at, each in enumerate(self._buffer) if each.messages or each.lost), len(self._buffer))
        self._buffer.insert(at, piece)
        self._count_pending(piece)

    def _count_pending(self, piece: Piece) -> None:
        self.pending += piece.size
        if self.hub is not None:
            self.hub.memory.add(piece, self)

    def _count_delivered(self, piece: Piece) -> None:
        """Count a piece that the client has taken. The caller reduces ``pending``."""
        if piece.channel is not None and not self.watching:
            piece.channel.count_messages(delivered=piece.messages)
        if self.hub is not None:
            self.hub.memory.release(piece)

    def _count_dropped(self, piece: Piece) -> None:
        """Count a piece that the client does not get."""
        self.lost += piece.messages
        self.pending -= piece.size
        if piece.channel is not None and not self.watching:
            piece.channel.count_messages(lost=piece.messages)
        if self.hub is not None:
            self.hub.memory.release(piece)

    def _clear_buffer(self) -> None:
        """Empty the buffer. Messages in it are lost."""
        for piece in self._buffer or ():
            self._count_dropped(piece)
        self._buffer, self._in_flight, self.pending = None, 0, 0
        if self.hub is not None:
            self.hub.memory.forget(self)

    def release(self) -> None:
        self._clear_buffer()

    def _next_data(self, at_once: int) -> list[bytes]:
        """The next pieces to write: several of at most ``at_once`` bytes together, or one larger piece."""
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
        """Remove the pieces of :meth:`_next_data`, which the client has taken."""
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
        # Pieces without messages, such as pongs, stay before the notice.
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
