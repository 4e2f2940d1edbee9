"""What one client is owed: the pieces that it has not taken yet, the oldest first.

They are counted in ``pending`` of the subscriber and in the hub's :class:`PendingMemory`. A viewer that is too slow
loses the oldest of them, and a notice of their number takes their place.
"""

from __future__ import annotations

from collections import deque

from eventcast.engine import notices
from eventcast.engine.encoders import PAYLOADS, Piece
from eventcast.engine.messages import Message
from eventcast.engine.subscribers import Subscriber


class OwingSubscriber(Subscriber):
    """A subscriber that keeps what its client does not take at once."""

    __slots__ = ("_begun", "_owed")

    def __init__(self, **described: str) -> None:
        super().__init__(**described)
        self._owed: deque[Piece] | None = None
        """None while nothing is owed."""
        self._begun = 0
        """How many of the first pieces are being written, and have to stay."""

    def _owe(self, piece: Piece) -> None:
        """Keep a piece until the client takes it."""
        if self._owed is None:
            self._owed = deque()
        self._owed.append(piece)
        self._hold(piece)
        self.note_pending()

    def owe_first(self, message: Message) -> None:
        """Owe a message before all that were published: to a client that is not written to yet."""
        piece = Piece(self.encoder.encode([message]), binary=message.binary and self.encoder is PAYLOADS)
        if self._owed is None:
            self._owed = deque()
        # Behind what is no message, such as a greeting.
        at = next((at for at, owed in enumerate(self._owed) if owed.messages or owed.lost), len(self._owed))
        self._owed.insert(at, piece)
        self._hold(piece)

    def _hold(self, piece: Piece) -> None:
        self.pending += piece.size
        if self.hub is not None:
            self.hub.memory.hold(piece, self)

    def _settle(self, piece: Piece) -> None:
        """The client has taken a piece. The caller counts what is pending."""
        if piece.account is not None and not self.watching:
            piece.account.settle(delivered=piece.messages)
        if self.hub is not None:
            self.hub.memory.release(piece)

    def _drop(self, piece: Piece) -> None:
        """The client will not get a piece."""
        self.lost += piece.messages
        self.pending -= piece.size
        if piece.account is not None and not self.watching:
            piece.account.settle(lost=piece.messages)
        if self.hub is not None:
            self.hub.memory.release(piece)

    def _settle_all(self) -> None:
        """Nothing is owed any more: what the client has not taken is lost."""
        for piece in self._owed or ():
            self._drop(piece)
        self._owed, self._begun, self.pending = None, 0, 0
        if self.hub is not None:
            self.hub.memory.forget(self)

    def release(self) -> None:
        self._settle_all()

    def _begin(self, at_once: int) -> list[bytes]:
        """The next bytes for the client: small pieces together up to so many bytes, a larger piece by itself."""
        found: list[bytes] = []
        size = 0
        for piece in self._owed or ():
            size += piece.size
            if found and size > at_once:
                break
            found.append(piece.data)
        self._begun = len(found)
        return found

    def _written(self) -> None:
        """The client has taken what :meth:`_begin` gave."""
        while self._begun and self._owed:
            piece = self._owed.popleft()
            self._begun -= 1
            self.pending -= piece.size
            self._settle(piece)
        if not self._owed:
            self._settle_all()
        self.note_progress()

    def drop_oldest(self, excess: int) -> bool:
        owed = self._owed
        if not owed:
            return False
        # Pieces without messages, such as answers to pings, stay before the notice.
        kept, lost, missing = [owed.popleft() for _ in range(self._begun)], self.lost, 0
        while owed and excess > 0:
            piece = owed.popleft()
            if piece.messages or piece.lost:
                missing += piece.messages + piece.lost
                excess -= piece.size
                self._drop(piece)
            else:
                kept.append(piece)
        if missing:
            notice = Piece(self.encoder.notice("lost", notices.lost(missing)), lost=missing)
            self._hold(notice)
            owed.appendleft(notice)
        owed.extendleft(reversed(kept))
        return self.lost > lost
