"""Daphne and the door in one process: what runs between ``eventcast serve`` and its end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import stat
from collections.abc import Callable, Sequence
from typing import Any

from eventcast.conf import conf
from eventcast.engine.closing import GOING_AWAY
from eventcast.engine.hub import Hub, current_hub
from eventcast.routing import EventcastRouter
from eventcast.server.daphne import behind_the_door
from eventcast.server.door import Door, Times
from eventcast.server.garbage import GarbageKeeper

logger = logging.getLogger("eventcast.server")

BACKLOG = 4096
"""Connections that wait to be accepted, for when all subscribers come back at once; the kernel may allow fewer
(net.core.somaxconn). With fewer, the rest try again after a second, then two, then four."""

FASTEST_GOODBYE = 500
"""Subscribers closed a second when the server stops, if ``DRAIN`` lets it take so long: all at once would be back as
one herd."""

PACE = 0.05
"""Seconds between two groups of them."""

LAST_ANSWERS = 2.0
"""Seconds that answers and close frames get to leave after that."""


class BroadcastServer:
    """One process: the door, and Daphne behind it, on one event loop.

    :param application: the ASGI application.
    :param sockets: listening sockets.
    :param on_listening: called once connections are accepted and signals are handled.
    :param access_log: Daphne's, or None for no log.
    :param options: further options of Daphne's.
    """

    def __init__(
        self,
        application: Any,
        sockets: Sequence[socket.socket],
        times: Times,
        *,
        on_listening: Callable[[], None],
        access_log: Callable[[str, str, dict[str, Any]], None] | None,
        **options: Any,
    ) -> None:
        self._daphne = behind_the_door(application, self._begin, action_logger=access_log, **options)
        self._router = application if isinstance(application, EventcastRouter) else None
        self._sockets = sockets
        self._times = times
        self._on_listening = on_listening
        self._access_log = access_log
        self._door: Door | None = None
        self._stopping: asyncio.Task[None] | None = None

    def run(self) -> None:
        """Serve until a signal ends it."""
        GarbageKeeper()
        self._daphne.run()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            if hasattr(signal, name):
                loop.add_signal_handler(getattr(signal, name), self._stop)
        self._door = Door(current_hub(), self._router, self._daphne.hand_over, self._times, self._access_log)
        for sock in self._sockets:
            self._door.listen(sock)
        self._on_listening()

    def _stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._drain())
        else:
            self._stopping.cancel()  # A second signal: at once.

    async def _drain(self) -> None:
        """Accept nothing more, answer what was asked, and close subscribers one after the other."""
        door, hub = self._door, current_hub()
        assert door is not None
        try:
            door.stop_accepting()
            hub.stopping = True
            await _say_goodbye(hub, conf.DRAIN)
            loop = asyncio.get_running_loop()
            end = loop.time() + LAST_ANSWERS
            while loop.time() < end and (door.connections or hub.pulse.peers):  # noqa: ASYNC110 (no event for it)
                await asyncio.sleep(0.01)
        finally:
            self._daphne.stop()


async def _say_goodbye(hub: Hub, seconds: float) -> None:
    subscribers = hub.subscribers()
    groups = max(1, round(min(seconds, len(subscribers) / FASTEST_GOODBYE) / PACE))
    for number in range(groups):
        for subscriber in subscribers[number::groups]:
            subscriber.close(GOING_AWAY)
            subscriber.leave()
        if number + 1 < groups:
            await asyncio.sleep(PACE)


def listen_on_tcp(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on an address, IPv6 with or without brackets; a name may have several.

    :raises OSError: the address cannot be listened on.
    """
    found = socket.getaddrinfo(
        host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )
    sockets = []
    for family, kind, protocol, _, address in dict.fromkeys(found):
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit these two: a message leaves at once, and a peer that is gone is found out in the end.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _listen(sock, address)
        sockets.append(sock)
    return sockets


def listen_on_unix(path: str) -> socket.socket:
    """A Unix socket that listens. One that a killed server left behind is replaced: nothing answers there.

    :raises OSError: another server listens there, or the path is something else.
    """
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1.0)
                try:
                    probe.connect(path)
                except ConnectionRefusedError:
                    os.unlink(path)
    except FileNotFoundError:
        pass
    sock = socket.socket(socket.AF_UNIX)
    _listen(sock, path)
    return sock


def _listen(sock: socket.socket, address: Any) -> None:
    try:
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
