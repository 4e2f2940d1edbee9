"""Daphne as a broadcast server wants it, to be run inside a management command."""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

from daphne import server as daphne_server
from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol
from twisted.internet import defer, reactor
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    STDLibLogObserver,
    globalLogPublisher,
)
from twisted.python.failure import Failure

from eventcast.server.garbage import GarbageKeeper
from eventcast.server.handshakes import SoundProtocol
from eventcast.server.intake import Intake, Limits

if sys.platform != "win32":  # which has no such limit
    import resource

# Connections that wait to be accepted, for when all subscribers come back at once; the kernel may allow fewer
# (net.core.somaxconn, 4096 on Linux). With Daphne's own 50 the rest try again after a second, then two, then four.
BACKLOG = 4096

# Bytes of one message on a WebSocket, the limit of Daphne itself. It holds in both directions.
DAPHNE_MESSAGE_SIZE = 1024 * 1024


class BroadcastServer(Server):
    """A Daphne for very many long connections, which says where it listens, or why it could not.

    :param application: the ASGI application.
    :param endpoints: what to listen on: strings of :func:`tcp_endpoint` and :func:`unix_endpoint`.
    :param on_listening: called with Twisted's listening ports once all of them listen and signals are handled.
    :param max_message_size: bytes of the largest WebSocket message that must pass.
    :param limits: what a request may take.
    :param options: Daphne's own, such as ``ping_interval``.

    :attr failure: why the server could not listen, None if it could.
    """

    def __init__(
        self,
        application: Any,
        endpoints: Sequence[str],
        *,
        on_listening: Callable[[list[Any]], None],
        max_message_size: int,
        limits: Limits,
        **options: Any,
    ) -> None:
        message_size = max(DAPHNE_MESSAGE_SIZE, max_message_size)
        super().__init__(
            application,
            endpoints,
            # No end after a day: Daphne closes with 1000 then, which clients that reconnect take as final.
            websocket_timeout=-1,
            websocket_connect_timeout=limits.head_timeout,
            websocket_handshake_timeout=limits.head_timeout,
            websocket_max_message_size=message_size,
            websocket_max_frame_size=message_size,
            ready_callable=self._announce_when_listening,
            **options,
        )
        self.failure: Failure | None = None
        self._garbage = GarbageKeeper()
        self._limits = limits
        self._on_listening = on_listening
        self._ports: list[Any] = []

    def run(self) -> None:
        # Of this process, which is this server's.
        daphne_server.HTTPFactory = functools.partial(Intake, limits=self._limits)
        self._garbage.start()
        super().run()

    def timeout_checker(self) -> None:
        self.http_factory.check_timeouts()
        super().timeout_checker()

    def protocol_disconnected(self, protocol: Any) -> None:
        super().protocol_disconnected(protocol)
        if isinstance(protocol, WebSocketProtocol):
            self._garbage.connection_gone(len(self.connections))

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        self._ports.append(port)

    def listen_error(self, failure: Failure) -> None:
        self.failure = failure
        self.stop()

    def kill_all_applications(self) -> Any:
        # Daphne fails here, and cancels no application, if one connection has none: a request only half received, or a
        # socket that was upgraded within the last second.
        nothing: asyncio.Future[None] = asyncio.get_event_loop().create_future()
        nothing.cancel()
        for details in self.connections.values():
            details.setdefault("application_instance", nothing)
        return super().kill_all_applications()

    def _announce_when_listening(self) -> None:
        self.ws_factory.protocol = SoundProtocol
        # Daphne sends what Twisted logs to nowhere. An exception that only Twisted saw must not go there.
        to_logging: Any = STDLibLogObserver("twisted")
        at_least_error: Any = LogLevelFilterPredicate(LogLevel.error)
        errors: Any = FilteringLogObserver(to_logging, [at_least_error])
        globalLogPublisher.addObserver(errors)
        defer.DeferredList(self.listeners).addCallback(lambda _: self._announce())

    def _announce(self) -> None:
        if self.failure is None:
            # Not before the reactor runs: until then, a signal would kill the process instead of ending it.
            reactor.callWhenRunning(self._on_listening, self._ports)


def tcp_endpoint(host: str, port: int) -> str:
    """The Twisted endpoint for an address, IPv6 with or without brackets."""
    return f"tcp:port={port}:interface={_escape(host.strip('[]'))}:backlog={BACKLOG}"


def unix_endpoint(path: str) -> str:
    """The Twisted endpoint for a Unix socket. A socket that a killed server left behind is replaced."""
    return f"unix:{_escape(path)}:backlog={BACKLOG}"


def raise_open_files() -> str:
    """Allow this process as many open files, and so connections, as the system lets it; returns how many that is."""
    if sys.platform == "win32":
        return "as many as the system allows"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:  # macOS has a lower limit of its own
        logging.getLogger("eventcast").warning("The limit of open files stays at %d: %s", soft, error)
        return str(soft)
    limit = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    return limit if soft == hard else f"{limit}, raised from {soft}"


def _escape(value: str) -> str:
    """For a Twisted endpoint description, where : and = separate, and \\ escapes them."""
    return "".join(f"\\{character}" if character in "\\:=" else character for character in value)
