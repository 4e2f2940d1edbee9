"""A subscriber that writes to its socket directly, without an asyncio transport or a server in between.

The rules:

- A batch is sent at once only while the send buffer is empty. Otherwise it is appended to the buffer.
- The buffer holds references to shared :class:`Piece` objects and one offset into the first, never a copy.
- The event loop gets the descriptor's number. For a socket object that it does not know, it would format the object in
  an error message, which takes two system calls.
- The socket is registered with :class:`Readers`, and with the event loop while the buffer has bytes (``add_writer``).
  It is unregistered before it is closed, so that no descriptor number outlives its socket.
- A close frame, or the end of a stream, is written last. A client that does not take it within :data:`CLOSE_TIMEOUT`
  seconds is disconnected.
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
from eventcast.engine.keepalive import PingSchedule
from eventcast.engine.send_buffer import BufferedSubscriber

READ_SIZE = 64 * 1024
"""Most bytes read by one system call."""

MAX_PIECES = 64 if hasattr(socket.socket, "sendmsg") else 1  # Windows has none
"""Most pieces written by one system call."""

CLOSE_TIMEOUT = 2.0
"""Seconds that a client has to take the last bytes and to close its side."""


class SocketSubscriber(BufferedSubscriber):
    """A subscriber that owns a non-blocking stream socket.

    :param sock: the socket. After :meth:`open` nothing else reads, writes or closes it.
    :param pings: how often the client is pinged, after :meth:`open`.
    """

    __slots__ = (
        "_bucket",
        "_offset",
        "_on_close",
        "_opened",
        "_pings",
        "_readers",
        "_socket",
        "answered",
        "send",
    )

    send: Callable[[bytes], int]

    def __init__(self, sock: socket.socket, pings: PingSchedule, **described: str) -> None:
        super().__init__(**described)
        self._readers = current_hub().readers
        self._socket: socket.socket | None = sock
        self._pings = pings
        self._bucket = -1
        self._offset = 0
        self._opened = False
        """Whether bytes may be written: False until the response to the handshake is written."""
        self._on_close: asyncio.TimerHandle | None = None
        self.answered = True
        """Whether the client has sent bytes, or taken buffered ones, since the last ping, which resets it."""
        self.send = sock.send

    def open(self, first: bytes = b"", received: bytes = b"") -> None:
        """Start reading and writing.

        :param first: bytes that the client gets before any message.
        :param received: bytes that were already read from the client.
        """
        if self._socket is None:
            return
        self._opened = True
        self._bucket = self._pings.add(self)
        self._readers.add(self._socket.fileno(), self._readable)
        if self._buffer is not None:  # Messages have arrived before it was opened.
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
        self._buffer_rest(batch.piece(self.encoder), taken)

    def write_bytes(self, data: bytes) -> None:
        """Write bytes for this client only, after the buffered ones."""
        if self._socket is not None:
            self._write_piece(Piece(data))

    def _write_piece(self, piece: Piece) -> bool:
        """Write a piece after the buffered ones; returns whether the socket took all of it."""
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
        self._buffer_rest(piece, taken)
        return False

    def _buffer_rest(self, piece: Piece, taken: int) -> None:
        """Append a piece to the buffer. The socket took its first ``taken`` bytes."""
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
        """Write buffered bytes until the socket takes no more."""
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
        """Write one or several pieces by one system call; returns whether the socket took all of them."""
        first, sock = buffer[0].data, self._socket
        if self._offset or len(buffer) == 1 or sock is None or MAX_PIECES == 1:
            data: Any = memoryview(first)[self._offset :] if self._offset else first
            taken, wanted = self.send(data), len(data)
        else:
            data = [piece.data for piece in itertools.islice(buffer, MAX_PIECES)]
            taken, wanted = sock.sendmsg(data), sum(map(len, data))
        self.pending -= taken
        self.answered = True  # The kernel had no space before: the client has read something since.
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
        """Drop the buffered pieces, except one that is partly written: the rest of the stream depends on it."""
        if self._buffer is None:
            return
        while len(self._buffer) > self._in_flight:
            self._count_dropped(self._buffer.pop())
        if not self._buffer:
            self._on_buffer_empty()

    # --- the end ----------------------------------------------------------------------------------------------------

    def last_bytes_written(self) -> None:
        """Called when all bytes are written after :meth:`close`. Subclasses that expect an answer override it."""
        self.connection_lost()

    def close_soon(self) -> None:
        """Disconnect the client after :data:`CLOSE_TIMEOUT` seconds, unless the connection ends before."""
        if self._on_close is None and self._socket is not None:
            self._on_close = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self.connection_lost)

    def abort(self) -> None:
        if self._opened:
            self.connection_lost()
        else:
            self.release()  # The socket belongs to the server until open().

    def connection_lost(self) -> None:
        """Unregister the connection everywhere and close the socket. Safe to call again."""
        sock, self._socket = self._socket, None
        if sock is None:
            return
        self.closed = True
        self._pings.discard(self, self._bucket)
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
        self.send = _raise_closed
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
        if not data:  # The client has closed its side and gets nothing more.
            self.connection_lost()
            return
        self.answered = True
        self.received(data)

    def received(self, data: bytes) -> None:
        """Called with the bytes that the client has sent."""

    # --- keepalive --------------------------------------------------------------------------------------------------

    def send_ping(self) -> None:
        if not self.closed and not self.pending:
            self.write_bytes(self.ping_data())

    def ping_data(self) -> bytes:
        """The bytes of a ping; the client answers them if the schedule has a timeout."""
        raise NotImplementedError


def _raise_closed(data: bytes) -> int:
    raise OSError("The connection is closed.")
