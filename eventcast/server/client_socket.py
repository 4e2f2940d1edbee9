"""The socket of one client of the door: what is written to it, and how it is closed."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

from eventcast.conf import conf

if TYPE_CHECKING:
    from eventcast.server.door import Door

LINGER_SECONDS = 5.0
"""For how long what still comes after the last answer is thrown away."""


class ClientSocket:
    """A non-blocking socket that nothing else reads, writes or closes."""

    __slots__ = (
        *("_client", "_door", "_ended", "_eof", "_gone", "_paused", "_readers", "_server", "_socket", "_unsent"),
        "deadline",
    )

    def __init__(self, door: Door, sock: socket.socket, address: Any, server: tuple[str, int | None]) -> None:
        self._door = door
        self._socket = sock
        self._client = address[:2] if isinstance(address, tuple) else None
        """Its address and port; None for a Unix socket."""
        self._server = server
        self._paused = False
        """Whether nothing is read."""
        self._ended = False
        """Whether what is read is thrown away: the last answer was written."""
        self._eof = False
        """Whether the client has closed its side."""
        self._gone = False
        """Whether the connection was closed, or given away, while something was waited for."""
        self._unsent = b""
        self.deadline = time.monotonic() + conf.HANDSHAKE_TIMEOUT
        """When the connection has waited long enough, by ``time.monotonic()``."""
        self._readers = door.hub.readers
        self._readers.add(sock.fileno(), self._readable)

    def _readable(self) -> None:
        raise NotImplementedError

    def _all_sent(self) -> None:
        """What was unsent has left."""
        raise NotImplementedError

    def _send(self, data: bytes) -> None:
        if self._unsent:
            self._unsent += data
            return
        try:
            taken = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            taken = 0
        except OSError:
            self._close()
            return
        if taken < len(data):
            self._unsent = data[taken:]
            self._door.loop.add_writer(self._socket.fileno(), self._writable)
            self.deadline = time.monotonic() + conf.BODY_TIMEOUT

    def _writable(self) -> None:
        data, self._unsent = self._unsent, b""
        self._door.loop.remove_writer(self._socket.fileno())
        self._send(data)
        if not self._unsent:
            self._all_sent()

    def _linger(self) -> None:
        """Close this side, and wait a moment for the client to close its own."""
        if self._eof:
            self._close()
            return
        self._ended = True
        self.deadline = time.monotonic() + LINGER_SECONDS
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._close()
            return
        if self._paused:
            self._paused = False
            self._readers.add(self._socket.fileno(), self._readable)

    def _close(self) -> None:
        if not self._gone:
            self._readers.remove(self._socket.fileno())
            self._give_away().close()

    def _give_away(self) -> socket.socket:
        """Write no more, and close nothing. The socket is the caller's, that removes or replaces its reader."""
        self._gone = True
        self._door.connections.discard(self)
        if self._unsent:
            self._door.loop.remove_writer(self._socket.fileno())
        return self._socket
