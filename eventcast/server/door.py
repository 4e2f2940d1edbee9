"""The door of ``eventcast serve``: it accepts connections and serves what eventcast exists for; the rest goes to
Daphne."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from eventcast.engine.hub import Hub
from eventcast.engine.keepalive import PingSchedule
from eventcast.routing import EventcastRouter
from eventcast.server.http_connection import HTTPConnection
from eventcast.server.reception import DoorConnection

logger = logging.getLogger("eventcast.server")

ACCEPTS = 64
"""Connections accepted in one turn of the event loop."""

PAUSE = 0.5
"""Seconds without accepting, when the process may open no more files."""


class Door:
    """Listens on sockets, on the running event loop.

    :param router: finds the channel of a request; None if the site has no router: then Daphne gets all requests.
    :param hand_over: gives a socket, what was read from it, and the seconds that a client waits for its answer after
        it has closed its side, to Daphne.
    :param pings: how often WebSockets are pinged.
    :param log: writes the access log, as Daphne calls it.
    """

    def __init__(
        self,
        hub: Hub,
        router: EventcastRouter | None,
        hand_over: Callable[[socket.socket, bytes, float], None],
        pings: PingSchedule,
        log: Callable[[str, str, dict[str, Any]], None] | None = None,
    ) -> None:
        self.hub = hub
        self.router = router
        self.hand_over = hand_over
        self.log = log
        self.pings = pings
        self.connections: set[HTTPConnection] = set()
        """Open connections of the door, without those given to a subscriber or to Daphne."""
        self.stopping = False
        self.loop = asyncio.get_running_loop()
        self._listeners: list[socket.socket] = []
        self._timer = self.loop.call_later(1.0, self._check_times)

    def listen(self, sock: socket.socket) -> None:
        """Accept the connections of a listening socket."""
        sock.setblocking(False)
        self._listeners.append(sock)
        self._resume(sock)

    def _accept(self, listener: socket.socket, server: tuple[str, int | None]) -> None:
        for _ in range(ACCEPTS):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    logger.error("No more connections can be accepted: %s", error)
                    self.loop.remove_reader(listener.fileno())
                    self.loop.call_later(PAUSE, self._resume, listener)
                return
            sock.setblocking(False)
            self.connections.add(DoorConnection(self, sock, address, server))

    def _resume(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            name = listener.getsockname()
            server = name[:2] if isinstance(name, tuple) else (name, None)
            self.loop.add_reader(listener.fileno(), self._accept, listener, server)

    def _check_times(self) -> None:
        now = self.loop.time()
        for connection in [each for each in self.connections if each.deadline < now]:
            connection.timed_out()
        self._timer = self.loop.call_later(1.0, self._check_times)

    def stop_accepting(self, *, unlink: bool) -> None:
        """Accept no more connections; with ``unlink``, remove the paths of Unix sockets."""
        self.stopping = True
        for listener in self._listeners:
            self.loop.remove_reader(listener.fileno())
            if unlink and isinstance(path := listener.getsockname(), str):
                # Before it is closed: then the path could be another server's already.
                with contextlib.suppress(OSError):
                    os.unlink(path)
            listener.close()
        self._listeners.clear()

    def close_idle(self) -> None:
        """Close the connections on which no request is being served."""
        for connection in list(self.connections):
            connection.stop()
