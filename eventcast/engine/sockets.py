"""A subscriber that is written to by its socket itself: no transport of an event loop or a server in between.

The rules:

- ``socket.send`` is called only while nothing is owed; a short write's rest goes first.
- What is owed is references to shared :class:`Piece` objects and one offset into the first, never a copy.
- The event loop is told the number of the socket's descriptor: of a socket object it makes a text, with two system
  calls, whenever it looks in vain for one.
- The socket is registered with :class:`Readers`, and with the event loop while something is owed (``add_writer``). It
  is unregistered before it is closed, so that no descriptor number outlives its socket.
- A close frame, or the end of a stream, is the last thing that is written. What a client owes no answer to is dropped
  for it; a client that does not take the last bytes within :data:`CLOSE_TIMEOUT` seconds is cut off.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from eventcast.engine.encoders import Batch, Piece
from eventcast.engine.hub import current_hub
from eventcast.engine.pulse import Rhythm
from eventcast.engine.send_buffer import BufferedSubscriber

READ_SIZE = 64 * 1024
"""Bytes read from a socket at once."""

MOST_AT_ONCE = 64 if hasattr(socket.socket, "sendmsg") else 1  # Windows has none
"""Pieces written by one system call, of many small ones that a client has fallen behind with."""

CLOSE_TIMEOUT = 2.0
"""Seconds that a client has to take the last bytes of a connection and to close its side."""


class SocketSubscriber(BufferedSubscriber):
    """A subscriber on a non-blocking stream socket, which it owns from now on.

    :param sock: the socket. From :meth:`open` on nothing else reads, writes or closes it.
    :param rhythm: how often it beats, from then on.
    """

    __slots__ = ("_bucket", "_offset", "_on_close", "_opened", "_readers", "_rhythm", "_socket", "heard", "send")

    send: Callable[[bytes], int]

    def __init__(self, sock: socket.socket, rhythm: Rhythm, **described: str) -> None:
        super().__init__(**described)
        self._readers = current_hub().readers
        self._socket: socket.socket | None = sock
        self._rhythm = rhythm
        self._bucket = -1
        self._offset = 0
        self._opened = False
        """Whether the client may be written to: not before its handshake is answered."""
        self._on_close: asyncio.TimerHandle | None = None
        self.heard = True
        """Whether the client has sent something, or taken what it was owed; set here, taken back by the pulse."""
        self.send = sock.send

    def open(self, first: bytes = b"", received: bytes = b"") -> None:
        """Begin to read and write.

        :param first: bytes that the client gets before any message.
        :param received: bytes that were read from the client already.
        """
        if self._socket is None:
            return
        self._opened = True
        self._bucket = self._rhythm.add(self)
        self._readers.add(self._socket.fileno(), self._readable)
        if self._buffer is not None:  # What has come before it was opened.
            self._buffer.appendleft(piece := Piece(first))
            self._count_pending(piece)
            asyncio.get_running_loop().add_writer(self._socket.fileno(), self.flush)
            self.flush()
        elif first:
            self.write_bytes(first)
        if self._buffer is None:
            self.enter_fast_path()
        if received and self._socket is not None:
            self.received(received)

    # --- writing ----------------------------------------------------------------------------------------------------

    def write(self, batch: Batch) -> int:
        piece = batch.piece(self.encoder)
        if self._opened:
            return piece.messages if self._write_piece(piece) else 0
        self._append(piece)
        return 0

    def write_rest(self, batch: Batch, taken: int) -> None:
        self._keep(batch.piece(self.encoder), taken)

    def write_bytes(self, data: bytes) -> None:
        """Write bytes that are for this client alone, behind what is owed."""
        if self._socket is not None:
            self._write_piece(Piece(data))

    def _write_piece(self, piece: Piece) -> bool:
        """Write a piece behind what is owed; returns whether all of it has left."""
        taken = 0
        if self._buffer is None:
            try:
                taken = self.send(piece.data)
            except BlockingIOError:
                pass
            except OSError:
                self.lose(piece.messages)
                self.connection_lost()
                return False
            if taken == len(piece.data):
                return True
        self._keep(piece, taken)
        return False

    def _keep(self, piece: Piece, taken: int) -> None:
        """Owe the client a piece, of which the socket took some bytes."""
        if self._socket is None:
            return
        if self._buffer is None:
            self._offset = taken
            self._in_flight = 1 if taken else 0
            self.pending = -taken
            asyncio.get_running_loop().add_writer(self._socket.fileno(), self.flush)
            self.leave_fast_path()
        self._append(piece)

    def flush(self) -> None:
        """Write what the socket takes of what is owed."""
        buffer = self._buffer
        if buffer is None or not self._opened:
            return
        try:
            while buffer and self._write_buffer(buffer):
                pass
        except BlockingIOError:
            pass
        except OSError:
            self.connection_lost()
            return
        self.note_progress()
        if not buffer:
            self._on_buffer_empty()

    def _write_buffer(self, buffer: deque[Piece]) -> bool:
        """Write one or several pieces at once; returns whether the socket took all of them."""
        first, sock = buffer[0].data, self._socket
        if self._offset or len(buffer) == 1 or sock is None or MOST_AT_ONCE == 1:
            data: Any = memoryview(first)[self._offset :] if self._offset else first
            taken, wanted = self.send(data), len(data)
        else:
            data = [piece.data for piece in itertools.islice(buffer, MOST_AT_ONCE)]
            taken, wanted = sock.sendmsg(data), sum(map(len, data))
        self.pending -= taken
        self.heard = True  # The buffers were full: the client has taken something, and is there.
        left = taken + self._offset
        while buffer and left >= len(buffer[0].data):
            left -= len(buffer[0].data)
            self._count_delivered(buffer.popleft())
        self._offset = left
        self._in_flight = 1 if left else 0
        return taken == wanted

    def _on_buffer_empty(self) -> None:
        if self._socket is None:
            return
        self._clear_buffer()
        asyncio.get_running_loop().remove_writer(self._socket.fileno())
        if self.closed:
            self.last_bytes_written()
        else:
            self.enter_fast_path()

    def drop_buffer(self) -> None:
        """Drop what is owed, but for a piece of which a part was written: the client could not read on without it."""
        if self._buffer is None:
            return
        while len(self._buffer) > self._in_flight:
            self._count_dropped(self._buffer.pop())
        if not self._buffer:
            self._on_buffer_empty()

    # --- the end ----------------------------------------------------------------------------------------------------

    def last_bytes_written(self) -> None:
        """All was written after :meth:`close`. Subclasses say whether the client still has to answer."""
        self.connection_lost()

    def close_soon(self) -> None:
        """Cut the connection off after :data:`CLOSE_TIMEOUT` seconds, unless it ends before."""
        if self._on_close is None and self._socket is not None:
            self._on_close = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self.connection_lost)

    def abort(self) -> None:
        if self._opened:
            self.connection_lost()
        else:
            self.release()  # The socket is not ours yet.

    def connection_lost(self) -> None:
        """The connection is over, by whatever cause: forget it everywhere and close the socket. Safe to call again."""
        sock, self._socket = self._socket, None
        if sock is None:
            return
        self.closed = True
        self._rhythm.discard(self, self._bucket)
        self.leave()
        if self._on_close is not None:
            self._on_close.cancel()
            self._on_close = None
        if self._buffer is not None:
            self._clear_buffer()
            asyncio.get_running_loop().remove_writer(sock.fileno())
        self._readers.remove(sock.fileno())
        hub = self.hub
        if hub is not None:
            hub.unsubscribe(self)
        self.send = _take_nothing
        sock.close()

    # --- reading ----------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # The client has closed its side: it will not hear anything more.
            self.connection_lost()
            return
        self.heard = True
        self.received(data)

    def received(self, data: bytes) -> None:
        """Bytes came from the client."""

    # --- the pulse --------------------------------------------------------------------------------------------------

    def beat(self) -> None:
        if not self.closed and not self.pending:
            self.write_bytes(self.sign_of_life())

    def sign_of_life(self) -> bytes:
        """What an idle client gets, and answers if its rhythm wants that."""
        raise NotImplementedError


def _take_nothing(data: bytes) -> int:
    raise OSError("The connection is closed.")
