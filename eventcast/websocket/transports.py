"""How bytes reach one kind of peer: the fastest way that is safe for a connection is chosen here.

``direct``
    Straight to the socket: Daphne, without TLS in this process.
``twisted``
    Through Twisted's transport: Daphne with TLS.
``asgi``
    Through the ASGI ``send``: every other server, and Daphne if its insides are not as expected.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from eventcast.conf import conf
from eventcast.engine.subscribers import Transport
from eventcast.server import daphne
from eventcast.websocket.asgi import ASGITransport

logger = logging.getLogger("eventcast.subscribe")

_announced: set[tuple[str, str]] = set()


def for_websocket(send: Any, protocol: Any) -> Transport:
    """The transport for a WebSocket; the log gets a line when one is chosen that was not before.

    :param send: its ASGI ``send``.
    :param protocol: its Daphne protocol, or None if the server is another one; see :func:`daphne.find_protocol`.
    """
    may_be_fast = protocol is not None and conf.TRANSPORT == "auto"
    transport: Transport | None = daphne.transport_for(protocol) if may_be_fast else None
    if protocol is None:
        transport = ASGITransport(send)
        announce("asgi", "the server is not Daphne")
    elif transport is None:
        transport = ASGITransport(daphne.mended(send, protocol), daphne.gauge(protocol))
        announce("asgi", expected()[1])
    elif transport.name == "twisted":
        announce("twisted", "the connection is wrapped, for example in TLS")
    else:
        announce(transport.name, daphne.versions())
    return transport


def expected() -> tuple[str, str]:
    """The transport that Daphne's connections will have, and why."""
    if conf.TRANSPORT != "auto":
        return "asgi", "EVENTCAST['TRANSPORT'] says so"
    if daphne.problems():
        return "asgi", f"{daphne.versions()}: {'; '.join(daphne.problems())}"
    return "direct", daphne.versions()


def announce_at_start() -> None:
    """Say in the log how subscribers will be written to, if it is known before there is one: under Daphne."""
    if "daphne.cli" in sys.modules or "daphne.management.commands.runserver" in sys.modules:
        announce(*expected())


def announce(name: str, reason: str) -> None:
    """Say in the log how subscribers are written to, and why; once for each way and reason."""
    if (name, reason) not in _announced:
        _announced.add((name, reason))
        logger.info("Subscribers are written to by the transport '%s' (%s).", name, reason)
