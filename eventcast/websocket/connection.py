"""A WebSocket that uses its socket directly: for ``eventcast serve``, and for connections taken over from Daphne.

It keeps RFC 6455: pings are answered, the close handshake is done, and nothing follows a close frame. The client is
pinged by the hub's keepalive. Frames from a client that may only listen are counted and discarded.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque

from eventcast.conf import conf
from eventcast.engine.closing import MESSAGE_TOO_BIG, TRY_AGAIN_LATER, Closing
from eventcast.engine.keepalive import PingSchedule
from eventcast.engine.patterns import Pattern
from eventcast.engine.sockets import SocketSubscriber
from eventcast.security import refusals
from eventcast.security.throttling import Inbound
from eventcast.websocket.frames import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    BrokenRule,
    FrameReader,
    check_utf8,
    close_frame,
    read_close,
)
from eventcast.websocket.speaking import Speaker

PING_FRAME = b"\x89\x00"
"""A ping without payload, the same for all clients (RFC 6455 section 5.5.2)."""

PONG_START, PONG_SIZE = b"\x8a\x80", 6
"""The answer to it: two bytes and the four of its mask (section 5.5.3)."""

INBOX = 16
"""Messages of a client that wait to be published. With so many, the server stops reading from the client."""

MAX_CONTROL_PENDING = 64 * 1024
"""Bytes of answers to pings that a client may leave unread."""


class WebSocketConnection(SocketSubscriber):
    """A WebSocket whose handshake is over.

    :param sock: its socket.
    :param pings: how often it is pinged.
    :param speaker: publishes what its client sends; None if the client may only listen.
    """

    __slots__ = ("_discarding", "_inbound", "_inbox", "_paused", "_publishing", "_reader", "_speaker")

    transport = "websocket"

    def __init__(self, sock: socket.socket, pings: PingSchedule, speaker: Speaker | None, **described: str) -> None:
        super().__init__(sock, pings, **described)
        self._reader: FrameReader | None = None
        self._inbound: Inbound | None = None
        self._speaker = speaker
        self._inbox: deque[str | bytes] | None = None
        self._publishing: asyncio.Task[None] | None = None
        self._paused = False
        """Whether reading is paused until the inbox is published."""
        self._discarding = False
        """Whether received bytes are discarded: the client broke a rule, or sent a close frame."""

    def greeting(self, wanted: str | Pattern, expires_at: float | None = None) -> bytes:
        """The bytes to send right after the handshake; a subclass tells the channel and the end of the permission."""
        return b""

    # --- what comes from the client ---------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        if self._discarding:
            return
        reader = self._reader
        if reader is None:
            if len(data) == PONG_SIZE and data.startswith(PONG_START):
                return
            reader = FrameReader(conf.MAX_MESSAGE_SIZE, discard=self._speaker is None)
        try:
            frames = 0
            for opcode, payload in reader.feed(data):
                if opcode == CLOSE:
                    self._answer_close(payload)
                    return
                if opcode == PING:
                    self._answer_ping(payload)
                elif opcode != PONG:
                    frames += 1
                    if self._speaker is not None and not self.closed:
                        self._take(opcode, payload)
            if self._speaker is None and not self.closed:
                if self._inbound is None:
                    self._inbound = Inbound()
                self._inbound.count(self, frames, len(data))
        except BrokenRule as rule:
            self._discarding, self._reader = True, None
            if rule.code == MESSAGE_TOO_BIG:
                refusals.count("message_too_large")
            self.close(Closing(rule.code, rule.reason))
            if self._buffer is None:
                self.last_bytes_written()
            return
        self._reader = None if reader.idle else reader

    def _answer_close(self, payload: bytes) -> None:
        code = read_close(payload)
        if not self.closed:
            self.closed = True
            self.leave()
            self.drop_buffer()
            self.write_bytes(close_frame(code))
        self._discarding = True
        if self._buffer is None:
            self.connection_lost()
        else:
            self.close_soon()

    def _answer_ping(self, payload: bytes) -> None:
        if not self.closed:
            if self.pending > MAX_CONTROL_PENDING and self.channel is None:
                self.connection_lost()
                return
            if self.pending > conf.SUBSCRIBER_BUFFER:
                return  # The client reads nothing. RFC 6455 section 5.5.3 allows to answer only the last ping.
            self.write_bytes(bytes((0x80 | PONG, len(payload))) + payload)

    # --- publishing -------------------------------------------------------------------------------------------------

    def _take(self, opcode: int, payload: bytes) -> None:
        data = check_utf8(payload) if opcode == TEXT else payload
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.append(data)
        if self._publishing is None:
            self._publishing = asyncio.get_running_loop().create_task(self._publish())
        if len(self._inbox) >= INBOX and not self._paused and self._socket is not None:
            self._paused = True
            self._readers.remove(self._socket.fileno())

    async def _publish(self) -> None:
        """Publish the inbox one message after the other, in order, even if the client has left."""
        try:
            while self._inbox and self._speaker is not None:
                await self._speaker.say(self._inbox.popleft(), self)
        finally:
            self._publishing = self._inbox = None
            if self._paused and self._socket is not None:
                self._readers.add(self._socket.fileno(), self._readable)
            self._paused = False

    # --- the end ----------------------------------------------------------------------------------------------------

    def end_with(self, closing: Closing) -> None:
        if not self._opened:
            return
        if self._inbox and not self._discarding:  # Messages before a broken rule are published.
            self._inbox.clear()
        if closing.code == TRY_AGAIN_LATER:
            self.drop_buffer()  # The client reads nothing: the close frame would wait behind the buffer.
        self.write_bytes(self.farewell(closing))
        self.close_soon()

    def farewell(self, closing: Closing) -> bytes:
        """The server's close frame; a subclass adds ``bye``."""
        return close_frame(closing.code, closing.reason)

    def last_bytes_written(self) -> None:
        """Close the server's side, if the client need not answer the close frame (RFC 6455 section 7.1.1). Otherwise
        the client has :data:`CLOSE_TIMEOUT` seconds to answer."""
        if self._discarding and self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def ping_data(self) -> bytes:
        return PING_FRAME
