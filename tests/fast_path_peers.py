"""Subscribers with a socket that a test makes slow, full or broken."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable

from eventcast.engine.closing import Closing
from eventcast.engine.encoders import Batch
from eventcast.engine.fanout import LocalChannel
from eventcast.engine.messages import Message
from eventcast.engine.subscribers import Subscriber
from tests.fakes import frames_in

PAST = 0.0
"""A deadline that makes each slice as short as it can be."""
PING = b"\x89\x00"


def never() -> float:
    return time.monotonic() + 60


class Peer(Subscriber):
    """A subscriber with a socket of its own. What must never happen is noted in ``wrongs``.

    ``mood`` says what becomes of a write: it is taken whole (``all``) or in part (``part``), the socket is full
    (``full``), the connection was reset (``reset``), or the socket is closed already (``closed``).
    """

    transport = "peer"

    def __init__(self, mood: Callable[[], str] = lambda: "all") -> None:
        super().__init__()
        self.mood = mood
        self.received = bytearray()
        self.kept = bytearray()
        self.handed = self.owed = 0
        self.writes = 0
        self.dead = False
        self.wrongs: list[str] = []
        self.send = self._send

    def _send(self, data: bytes) -> int:
        self._note("send")
        if self.kept:
            self.wrongs.append("a frame has overtaken what was pending")
        self.handed += len(list(frames_in(data)))
        self.writes += 1
        mood = "closed" if self.dead else self.mood()
        if mood == "full":
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        if mood == "reset":
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        if mood == "closed":
            self.dead = True
            raise OSError(errno.EBADF, "Bad file descriptor")
        taken = len(data) if mood == "all" else len(data) // 2
        self.received += data[:taken]
        return taken

    def write_rest(self, batch: Batch, taken: int) -> None:
        self._note("write_rest")
        self.keep(batch.piece(self.encoder).data[taken:], len(batch))

    def write(self, batch: Batch) -> int:
        self._note("write")
        self.handed += len(batch)
        self.keep(batch.piece(self.encoder).data, len(batch))
        return 0

    def end_with(self, closing: Closing) -> None:
        pass

    def ping(self) -> None:
        """The connection writes something of its own."""
        self.keep(PING)

    def drain(self) -> None:
        """The client reads; what was pending has left."""
        self.received += self.kept
        self.kept.clear()
        if self.channel is not None:
            self.channel.delivered += self.owed
        self.pending = self.owed = 0
        self.note_progress()
        self.enter_fast_path()

    def keep(self, data: bytes, messages: int = 0) -> None:
        if self.dead:
            self.handed -= messages
            self.lose(messages)
            return
        self.owed += messages
        self.kept += data
        self.pending = len(self.kept)
        self.note_pending()
        self.leave_fast_path()

    def _note(self, call: str) -> None:
        if self.channel is None or self.closed:
            self.wrongs.append(f"{call} after it left")

    def heard(self) -> list[int]:
        """The numbers of the messages it got or will get; fails if a frame is broken."""
        return [int(payload) for opcode, payload in frames_in(self.received + self.kept) if opcode == 1]


def join(channel: LocalChannel, subscriber: Peer | None = None) -> Peer:
    """A subscriber joins, whose send buffer is empty."""
    subscriber = subscriber or Peer()
    channel.add(subscriber)
    subscriber.enter_fast_path()
    return subscriber


def publish(channel: LocalChannel, *numbers: int) -> None:
    """Publish numbers, each on its own."""
    for number in numbers:
        channel.publish([Message(str(number))])
