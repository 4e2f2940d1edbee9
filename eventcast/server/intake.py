"""What ``eventcast serve`` takes of a request: for so long, and so much, and then it answers and hangs up.

Twisted and Daphne by themselves take a body to its end before anybody here sees its first byte, put all of it into
memory after that, and wait for as long as a client sends a byte a minute. The rules here:

- the head of a request has ``HANDSHAKE_TIMEOUT`` seconds, from the connection or from its first byte on;
- its body has ``BODY_TIMEOUT`` seconds, and one more for each :data:`MIN_RATE` bytes that have come: what is slow but
  moves is not cut off;
- below a mount a body has ``MAX_BODY_SIZE`` bytes: what says that it is longer is refused before it is taken, what
  does not say (chunked) as soon as it is. Other paths belong to the site, which may want its uploads; what is no
  absolute path, such as ``http://host/path``, is nobody's;
- who is refused gets an answer, and a moment to read it in which the rest of what he sends is thrown away. Closed at
  once, the connection would be reset under the answer.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from daphne.http_protocol import HTTPFactory
from twisted.web.http import HTTPChannel, Request, _GenericHTTPChannelProtocol

from eventcast.engine import names
from eventcast.exceptions import MessageTooLarge, Refused, RequestTimeout
from eventcast.security import refusals
from eventcast.server.handshakes import SoundRequest
from eventcast.server.mounts import Mounts

logger = logging.getLogger("eventcast.publish")

_Untyped: Any = HTTPChannel  # half of which has no types

MIN_RATE = 1000
"""Bytes a second that a long body has to come at."""

LINGER_BYTES, LINGER_SECONDS = 16 * 1024 * 1024, 5
"""What is thrown away of a refused request until the connection is cut off."""


@dataclass(frozen=True)
class Limits:
    """What a request may take."""

    head_timeout: float
    """Seconds for its head."""
    body_timeout: float
    """Seconds for its body, and more for long ones."""
    body_size: int
    """Bytes of its body, if it may be for a channel."""
    mounts: Mounts
    """Where the channels are."""


class Intake(HTTPFactory):
    """Daphne's requests, within limits, and without Twisted's look into their bodies: it parses every form, for nobody.

    A small POST costs a sixth less without, and a megabyte of escapes 0.4 s, in which nothing is delivered to anybody.
    """

    def __init__(self, server: Any, limits: Limits) -> None:
        super().__init__(server)
        self.limits = limits
        self.arriving: set[Channel] = set()
        """Connections whose request, or first byte, has not come yet."""

    def protocol(self) -> Any:
        return _GenericHTTPChannelProtocol(Channel())

    def buildProtocol(self, addr: Any) -> Any:
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = _Request
        if "parsePOSTFormSubmission" in inspect.signature(Request.__init__).parameters:  # new in Twisted 25.5
            protocol.requestFactory = functools.partial(_Request, parsePOSTFormSubmission=False)
        return protocol

    def check_timeouts(self) -> None:
        """Refuse what takes too long. To be called every few seconds."""
        now = time.monotonic()
        for channel in list(self.arriving):
            channel.check_timeout(now)


class Channel(_Untyped):
    """One connection of HTTP, until it is closed or becomes a WebSocket."""

    factory: Intake

    _began = 0.0
    """When the head, or the body, that is arriving began to."""
    _in_body = False
    _taken = 0
    """Bytes of the body that have come."""
    _limit: int | None = None
    """Bytes that the body may have, until somebody has looked whether the limit is for this request at all."""
    _refused = False
    _discarded = 0
    _cut_off: Any = None

    def connectionMade(self) -> None:
        super().connectionMade()
        self._begin()

    def dataReceived(self, data: bytes) -> None:
        if self._refused:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self.transport.abortConnection()
            return
        if not self._handlingRequest and self not in self.factory.arriving:
            self._begin()  # another request on the same connection
        super().dataReceived(data)

    def rawDataReceived(self, data: bytes) -> None:
        if not self._refused:
            super().rawDataReceived(data)

    def allHeadersReceived(self) -> None:
        self._began, self._in_body, self._taken = time.monotonic(), True, 0
        self._limit = self.factory.limits.body_size
        self._hold_to_limit(self.length or 0)
        if not self._refused:
            super().allHeadersReceived()

    def take(self, size: int) -> bool:
        """Whether so many more bytes of the body may come."""
        self._taken += size
        if not self._refused:
            self._hold_to_limit(self._taken)
        return not self._refused

    def allContentReceived(self) -> None:
        if not self._refused:
            self.factory.arriving.discard(self)
            super().allContentReceived()

    def check_timeout(self, now: float) -> None:
        """Refuse the request that is arriving if it has taken too long; cut off who has sent nothing to be answered."""
        limits = self.factory.limits
        allowed = limits.body_timeout + self._taken / MIN_RATE if self._in_body else limits.head_timeout
        if now - self._began <= allowed:
            return
        if self.requests:
            self._refuse(RequestTimeout(f"The request was not complete after {allowed:.0f} seconds. Send it faster."))
        else:
            self.factory.arriving.discard(self)
            self.transport.abortConnection()

    def connectionLost(self, reason: Any) -> None:
        self.factory.arriving.discard(self)
        if self._cut_off is not None and self._cut_off.active():
            self._cut_off.cancel()
        super().connectionLost(reason)

    def _begin(self) -> None:
        self._began, self._in_body = time.monotonic(), False
        self.factory.arriving.add(self)

    def _hold_to_limit(self, size: int) -> None:
        # Whose path it is, is looked for only where it matters.
        if self._limit is not None and size > self._limit:
            if self.factory.limits.mounts.may_have(self._path):
                self._refuse(_too_large(self._limit))
            else:
                self._limit = None

    def _refuse(self, refusal: Refused) -> None:
        self._refused = True
        self.factory.arriving.discard(self)
        self.setTimeout(None)
        if refusals.count(refusal.code):
            logger.warning(
                "Refused: %d %s, %s %s. %s",
                refusal.status,
                refusal.code,
                names.printable(getattr(self, "_command", b"?")[:20].decode("latin-1")),
                names.quoted(getattr(self, "_path", b"?").decode("latin-1")),
                refusal.detail,
            )
        body = refusal.as_json()
        head = f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self._networkProducer.unregisterProducer()
        self.transport.write(head.encode() + body)
        self.transport.loseWriteConnection()
        self._cut_off = self.callLater(LINGER_SECONDS, self.transport.abortConnection)


class _Request(SoundRequest):
    def handleContentChunk(self, data: bytes) -> None:
        if self.channel.take(len(data)):
            super().handleContentChunk(data)


def _too_large(limit: int) -> MessageTooLarge:
    return MessageTooLarge(
        f"The body is larger than {limit} bytes (EVENTCAST['MAX_BODY_SIZE']). Publish a link to it, or split it."
    )
