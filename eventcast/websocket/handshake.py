"""The handshake of a WebSocket (RFC 6455 section 4.2): what is checked, and how it is answered."""

from __future__ import annotations

import binascii
import functools
import hashlib
import re
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

from django.http import HttpRequest

from eventcast import snapshots
from eventcast.engine import names, patterns
from eventcast.engine.keepalive import PingSchedule
from eventcast.engine.patterns import Pattern
from eventcast.engine.send_buffer import BufferedSubscriber
from eventcast.exceptions import InvalidHandshake, Refused, UnsupportedVersion
from eventcast.security import admission, clients, refusals
from eventcast.security.authorization.permits import Permit
from eventcast.security.origins import check_host
from eventcast.websocket import v1
from eventcast.websocket.connection import WebSocketConnection
from eventcast.websocket.speaking import Speaker, speaker_for

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 section 1.3."""

_KEY = re.compile(r"[A-Za-z0-9+/]{22}==\Z")

SUBPROTOCOLS = (v1.SUBPROTOCOL, "eventcast")
"""Those that the server speaks, the best first. The second one is a plain WebSocket: browsers insist on one of the
subprotocols that they offer, and the one that carries a token is not to be sent back."""

WATCH = "eventcast.admin"
"""Offered beside those by the admin's pages, and never chosen: the session of the admin's user lets it in."""


class Admitted(NamedTuple):
    """A client that may subscribe."""

    wanted: str | Pattern
    permit: Permit
    speaker: Speaker | None
    described: dict[str, str]
    """Arguments of :class:`Subscriber` that describe the client."""
    subprotocol: str
    """The chosen subprotocol; empty for none."""
    watches: bool
    """Whether it is a page of the admin."""

    async def subscribe(self, subscriber: BufferedSubscriber, request: HttpRequest) -> None:
        """Subscribe, see ``eventcast.snapshots``."""
        subscriber.watching = self.watches
        await snapshots.subscribe(subscriber, request, self.wanted, self.permit)


def offered(request: HttpRequest) -> Sequence[str]:
    """The subprotocols that a client offers, by the head of its handshake."""
    header = request.META.get("HTTP_SEC_WEBSOCKET_PROTOCOL")
    return [each.strip() for each in header.split(",")] if header else ()


async def admit(request: HttpRequest, wanted: str | Pattern, offered: Sequence[str]) -> Admitted:
    """Check whether a client that offers these subprotocols may subscribe to what it asks for."""
    check_host(request)
    watches = WATCH in offered
    permit = await (admission.check_watch if watches else admission.check_subscribe)(request, wanted)
    speaker = None if watches else await speaker_for(request, wanted)
    subprotocol = next((each for each in SUBPROTOCOLS if each in offered), "") if offered else ""
    if speaker is not None and subprotocol == v1.SUBPROTOCOL:
        speaker.read = v1.message_in
    known = permit
    if speaker is not None:
        permit &= speaker.permit
        known = known if known.user else speaker.permit
    described = clients.described(request, known.user, known.identity)
    return Admitted(wanted, permit, speaker, described, subprotocol, watches)


async def subscribe(
    sock: socket.socket, request: HttpRequest, admitted: Admitted, pings: PingSchedule
) -> WebSocketConnection:
    """Subscribe a client. The caller owns the socket until it opens the connection, which must follow at once."""
    kind = v1.V1Connection if admitted.subprotocol == v1.SUBPROTOCOL else WebSocketConnection
    connection = kind(sock, pings, admitted.speaker, **admitted.described)
    await admitted.subscribe(connection, request)
    return connection


def open_connection(
    connection: WebSocketConnection,
    request: HttpRequest,
    admitted: Admitted,
    received: bytes,
    log: Callable[[str], None] | None,
) -> None:
    """Answer the handshake of a client that :func:`subscribe` has subscribed, and start reading and writing.

    :param received: what the client has sent after its handshake.
    :param log: writes ``"connected"``, and later ``"disconnected"``, in the access log; None if there is none.
    """
    if log is not None:
        log("connected")
        connection.on_end = functools.partial(_ended, connection.on_end, log)
    greeting = connection.greeting(admitted.wanted, admitted.permit.expires_at)
    connection.open(accepting(request, admitted.subprotocol) + greeting, received)


def _ended(forget: Callable[[], object] | None, log: Callable[[str], None]) -> None:
    if forget is not None:
        forget()
    log("disconnected")


def check(meta: dict[str, str], method: str, version: str) -> None:
    """Check that a handshake is one (RFC 6455 section 4.2.1), by its headers as CGI named them."""
    if method != "GET" or version != "1.1":
        raise InvalidHandshake("A WebSocket is opened by GET with HTTP/1.1.")
    if meta.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in meta:
        raise InvalidHandshake("The request that opens a WebSocket has no body.")
    if meta.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
        raise UnsupportedVersion("Open the WebSocket with Sec-WebSocket-Version: 13.")
    if not _KEY.match(meta.get("HTTP_SEC_WEBSOCKET_KEY", "")):
        raise InvalidHandshake("Sec-WebSocket-Key is 16 bytes in base64.")


def wanted_by(channel: str, query: bytes, mount: str) -> str | Pattern:
    """The channel, or the pattern, that a client asks for by a path."""
    if channel == mount + patterns.SUBSCRIBE:
        return patterns.from_query(query.decode("latin-1"), mount)
    return names.check_not_reserved(channel, mount)


def accepting(request: HttpRequest, subprotocol: str = "") -> bytes:
    """The answer that opens the WebSocket."""
    key = request.META.get("HTTP_SEC_WEBSOCKET_KEY", "").strip().encode("latin-1")
    accept = binascii.b2a_base64(hashlib.sha1(key + GUID).digest(), newline=False)
    chosen = b"Sec-WebSocket-Protocol: %b\r\n" % subprotocol.encode() if subprotocol else b""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (accept, chosen)
    )


def note_refused(refusal: Refused, path: str | bytes, peer: str) -> None:
    """Count a subscriber that is not let in, and write its line in the log."""
    client = f"path {names.quoted(path)}, peer {peer or 'unknown'}"
    refusals.note(refusals.SUBSCRIBE, refusal, client, what=" a subscriber")
