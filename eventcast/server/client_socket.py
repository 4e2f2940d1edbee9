"""The socket of one client of the door: writing and closing."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

from eventcast.conf import conf

if TYPE_CHECKING:
    from eventcast.server.door import Door

LINGER_SECONDS = 5.0
"""Seconds after the last answer in which received bytes are discarded, before the socket is closed."""


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
        """Whether reading is paused."""
        self._ended = False
        """Whether received bytes are discarded, because the last answer was written."""
        self._eof = False
        """Whether the client has closed its side."""
        self._gone = False
        """Whether the connection was closed or given away."""
        self._unsent = b""
        self.deadline = time.monotonic() + conf.HANDSHAKE_TIMEOUT
        """The end of the present wait, by ``time.monotonic()``."""
        self._readers = door.hub.readers
        self._readers.add(sock.fileno(), self._readable)

    def _readable(self) -> None:
        raise NotImplementedError

    def _all_sent(self) -> None:
        """Called when no bytes are unsent any more."""
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
        """Give up the socket without closing it. The caller owns it, and removes or replaces its reader."""
        self._gone = True
        self._door.connections.discard(self)
        if self._unsent:
            self._door.loop.remove_writer(self._socket.fileno())
        return self._socket
