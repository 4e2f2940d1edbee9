"""Daphne behind the door of ``eventcast serve``."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast


def behind_the_door(application: Any, *, on_closed: Callable[[], None], **options: Any) -> Any:
    """A Daphne that listens on nothing and is handed its connections.

    :param on_closed: called when one of them is over.
    :param options: Daphne's own, such as ``action_logger``.
    """
    from daphne.server import Server
    from twisted.internet import reactor

    class BehindTheDoor(Server):
        def run_with(self, begin: Callable[[], None]) -> None:
            """Run until :meth:`stop`; ``begin`` is called once the event loop runs."""
            self.endpoints: list[str] = []  # The constructor wants some.
            cast(Any, reactor)._asyncioEventloop.call_soon(begin)
            self.run()

        def hand_over(self, sock: socket.socket, data: bytes) -> None:
            """Serve a connection of which ``data`` was read already."""
            with sock:  # Twisted makes a duplicate, unless the client has gone.
                try:
                    transport = cast(Any, reactor).adoptStreamConnection(sock.fileno(), sock.family, self.http_factory)
                except OSError:
                    return
            protocol = transport.protocol
            channel = getattr(protocol, "_channel", protocol)  # what chooses between HTTP/1.1 and HTTP/2
            # The door has checked the head, and lets longer ones pass: Twisted would hang up without a whole answer.
            channel.MAX_LENGTH = channel.totalHeadersSize = len(data)
            protocol.dataReceived(data)

        def protocol_disconnected(self, protocol: Any) -> None:
            super().protocol_disconnected(protocol)
            on_closed()

        def kill_all_applications(self) -> Any:
            # Daphne fails here, and cancels no application, if one connection has none: a request only half received,
            # or a socket that was upgraded within the last second.
            nothing: asyncio.Future[None] = asyncio.get_event_loop().create_future()
            nothing.cancel()
            for details in self.connections.values():
                details.setdefault("application_instance", nothing)
            return super().kill_all_applications()

    # verbosity: without it Daphne sends what Twisted logs to nowhere, an exception that only Twisted saw too.
    return BehindTheDoor(application, endpoints=["tcp:0"], signal_handlers=False, verbosity=2, **options)
