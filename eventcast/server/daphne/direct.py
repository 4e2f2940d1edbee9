"""Frames straight to the socket: one system call each, where Twisted makes three and a turn of its reactor.

That is right only while Twisted's buffers for the socket are empty, or frames would overtake or split what is there:
the handshake, pings, pongs and close frames of the protocol, the rest of a short write. Twisted calls a transport's
``startWriting`` when its buffers get something and ``stopWriting`` when they are empty or the connection is over, so
those two are listened to, on each subscriber's own transport (``compatibility`` tells whether this is still so).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

from eventcast.conf import conf
from eventcast.engine.subscribers import Count, Subscriber
from eventcast.server.daphne.overhearing import Overhearing, frames_and_bytes, leave_unheard
from eventcast.server.daphne.pulse import Pulse
from eventcast.server.daphne.twisted import TwistedTransport

PING, PONG = b"\x89\x00", b"\x8a\x80"
"""A ping without payload, the same for everybody, and how its answer begins; RFC 6455 sections 5.5.2 and 5.5.3."""

PONG_SIZE = 6
"""Bytes of that answer: two and the four of its mask."""

CONTROL_SIZE = 125
"""Bytes that a control frame may have; RFC 6455 section 5.5."""

MAX_PIECES = 1024
"""Pieces that a message is kept in while it arrives: one of two bytes takes as much room as one of forty."""

READ_SIZE = 2 * 1024
"""Bytes read from a WebSocket at once. They may be 300 frames, and nobody hears a thing until all are parsed."""


class DirectTransport(TwistedTransport):
    """Frames straight to the socket, for as long as Twisted has nothing of its own to write to it."""

    name = "direct"

    send: Callable[[bytes], int] | None

    _begin_counting: Callable[[], Count] | None = None
    _overhearing: Overhearing | None = None

    def __init__(self, protocol: Any, descriptor: Any) -> None:
        super().__init__(protocol, descriptor)
        self.heard = False
        self._subscriber: Subscriber | None = None
        self._pulse: Pulse | None = None
        # Bound to the socket object, not to its number: numbers are reused, a closed socket object is closed for good.
        self.send = descriptor.socket.send

    def open(self, subscriber: Subscriber) -> None:
        super().open(subscriber)
        self._subscriber = subscriber
        if self._protocol._perMessageCompress is not None:
            self.send = None
        self._descriptor.startWriting = self._start_writing
        self._descriptor.stopWriting = self._stop_writing
        self._descriptor.bufferSize = READ_SIZE
        if all(hasattr(self._protocol, name) for name in ("current_frame", "data", "failedByMe", "last_ping")):
            self._take_the_pulse()
        if self.is_open and not self.pending:
            subscriber.straighten()

    def write_rest(self, data: bytes, taken: int) -> None:
        if self.is_open:
            self._descriptor.write(data[taken:] if taken else data)

    def release(self) -> None:
        super().release()
        self._subscriber = None
        # What hides Twisted's own methods goes, and with it the reference cycle.
        self._descriptor.__dict__.pop("startWriting", None)
        self._descriptor.__dict__.pop("stopWriting", None)
        self._protocol.__dict__.pop("dataReceived", None)
        self._protocol.__dict__.pop("onMessage", None)
        self._begin_counting = self._overhearing = None
        if self._pulse is not None:
            self._pulse.stop()
            self._pulse = None
            self._protocol.last_ping = time.time()

    def _take_the_pulse(self) -> None:
        """Ping in Daphne's place, as often as it would."""
        protocol, server = self._protocol, self._protocol.server
        protocol.dataReceived = self._received
        protocol.failByDrop = False  # Who breaks the rules gets a close frame that says which.
        protocol.last_ping = math.inf  # seconds since the epoch, for Daphne to see that it is not time yet
        self._pulse = Pulse(self, server.ping_interval, server.ping_timeout or math.inf)

    def count_inbound(self, begin: Callable[[], Count]) -> bool:
        if self._pulse is None or self._protocol._perMessageCompress is not None:
            return False  # It does not come by here, or its bytes are not those that it takes.
        try:
            frames_and_bytes(self._protocol)
        except AttributeError:  # another autobahn
            return False
        self._begin_counting = begin
        self._protocol.onMessage = leave_unheard
        return True

    def ping(self) -> None:
        """Send a ping, behind what is pending."""
        self._protocol.last_ping = math.inf  # Daphne has put it forward if something else than a pong has come
        if not self.is_open:
            return
        taken = 0
        if self.send is not None and not self.pending:
            with contextlib.suppress(OSError):
                taken = self.send(PING)
        if taken < len(PING):
            self._descriptor.write(PING[taken:])

    def give_up(self) -> None:
        """The peer does not answer: cut the connection off."""
        self._descriptor.abortConnection()

    def _received(self, data: bytes) -> None:
        """Something has come. A pong, and nothing but that, needs nothing of what autobahn does with it."""
        self.heard = True
        protocol = self._protocol
        alone = len(data) == PONG_SIZE and not protocol.data and protocol.current_frame is None
        if not (alone and data.startswith(PONG) and protocol.state == protocol.STATE_OPEN):
            type(protocol).dataReceived(protocol, data)
            self._hold_in_bounds()
            if self._begin_counting is not None:
                if self._overhearing is None:
                    self._overhearing = Overhearing(protocol, self._begin_counting())
                self._overhearing.go_on()

    def _hold_in_bounds(self) -> None:
        """Keep from growing what autobahn and Twisted would let grow for as long as a peer goes on."""
        protocol = self._protocol
        for name in ("frame_data", "message_data"):
            pieces = protocol.__dict__.get(name)
            if pieces is not None and len(pieces) > MAX_PIECES:
                pieces[:] = [b"".join(pieces)]
        frame, pending = protocol.current_frame, self.pending
        overlong = frame is not None and frame.opcode & 8 and frame.length > CONTROL_SIZE
        # More than messages can have left there: the answers to pings, of a peer that does not read them.
        if overlong or (pending and pending > 2 * max(conf.SUBSCRIBER_BUFFER, conf.MAX_MESSAGE_SIZE)):
            protocol.dropConnection(abort=True)

    def _start_writing(self) -> None:
        """Twisted has something to write, or is asked to hang up after writing: frames have to wait."""
        descriptor = self._descriptor
        type(descriptor).startWriting(descriptor)
        if self._subscriber is not None:
            self._subscriber.hold()

    def _stop_writing(self) -> None:
        """Twisted has written everything, or the connection is over."""
        descriptor, subscriber = self._descriptor, self._subscriber
        type(descriptor).stopWriting(descriptor)
        if subscriber is None:
            return
        if self.is_open and not descriptor._aborting and not self.pending:
            subscriber.straighten()
        else:
            subscriber.leave()
