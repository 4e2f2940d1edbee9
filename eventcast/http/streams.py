"""Listening by plain HTTP: Server-Sent Events and lines of JSON on the channel's own URL.

In ``eventcast serve`` messages are written directly to the socket of the stream (:class:`SocketStream`); under plain
Daphne too, after taking over the connection. Such a stream costs as much as a WebSocket. Under other servers a stream
is the body of a Django response (:class:`ResponseStream`).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from eventcast import snapshots
from eventcast.conf import conf
from eventcast.engine.closing import TRY_AGAIN_LATER, Closing
from eventcast.engine.encoders import Batch
from eventcast.engine.fanout import JOIN_LIMIT
from eventcast.engine.hub import Hub, current_hub
from eventcast.engine.multiplexing import MultiplexedConnection, MultiplexedSubscriber
from eventcast.engine.patterns import Pattern
from eventcast.engine.quotas import quotas
from eventcast.engine.sockets import SocketSubscriber
from eventcast.exceptions import LayerUnavailable, Refused, StreamingUnavailable
from eventcast.http.answers import CLOSE, Answer, StreamedResponse, note_refused, refused
from eventcast.http.formats import KEEP_ALIVE, Format
from eventcast.security import admission, clients
from eventcast.security.authorization.permits import Permit
from eventcast.server import daphne

DEAD_AFTER = 45.0
"""Seconds that sent bytes may stay unacknowledged. With KEEP_ALIVE, a vanished client is noticed in a minute."""

MAX_UNASKED = 64 * 1024
"""Bytes that a client may send while it listens. The server discards them; past this number it disconnects."""

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)]
"""Those that stop uvicorn and granian; the last one on Windows."""

LAST_CHUNK = b"0\r\n\r\n"
"""Ends the body of a response in chunks (RFC 9112 section 7.1)."""


class Stream(Answer):
    """The answer to a client that may listen. The code that serves the connection opens the stream.

    :param viewer: whether it is a page of the admin. A slow one loses its oldest messages and not its connection.
    """

    __slots__ = ("described", "format", "permit", "request", "viewer", "wanted")

    def __init__(
        self, request: HttpRequest, wanted: str | Pattern, format: Format, permit: Permit, *, viewer: bool = False
    ) -> None:
        super().__init__(content_type=format.content_type)
        self["Cache-Control"] = "no-cache, no-transform"
        self["X-Accel-Buffering"] = "no"  # otherwise nginx waits until its buffer is full
        self["Content-Encoding"] = "identity"  # otherwise GZipMiddleware waits, too
        self.request = request
        self.wanted = wanted
        self.format = format
        self.permit = permit
        self.viewer = viewer
        self.described = clients.described(request, permit.user, permit.identity)
        """The arguments of a subscriber that describe its client."""

    async def subscribe(self, connection: MultiplexedConnection) -> None:
        """Subscribe the connection."""
        await snapshots.subscribe(connection, self.request, self.wanted, self.permit)

    def for_django(self) -> Any:
        """A Django response that opens the stream when it is sent."""
        return StreamedResponse(_body(self), headers=self.headers)


def check_streams(request: HttpRequest) -> None:
    """Check that the server can open a stream now."""
    if not isinstance(request, ASGIRequest):
        raise StreamingUnavailable("Streams need an ASGI server, such as Daphne. Open a WebSocket or ask for JSON.")
    if current_hub().stopping:
        raise LayerUnavailable("The server is going away. Connect again.")


async def stream(request: HttpRequest, wanted: str | Pattern, format: Format) -> Stream:
    """Check that a request may subscribe, and make the answer."""
    check_streams(request)
    return Stream(request, wanted, format, await permit_to_listen(request, wanted))


async def permit_to_listen(request: HttpRequest, wanted: str | Pattern) -> Permit:
    """Check that a request may subscribe, and that no limit is reached: a response that has begun cannot be refused."""
    permit = await admission.check_subscribe(request, wanted)
    quotas.check(wanted, clients.group_of(request) if conf.MAX_SUBSCRIBERS_PER_ADDRESS else "")
    return permit


class SocketStream(SocketSubscriber, MultiplexedConnection):
    """A stream that writes to its socket itself, in the chunks of HTTP/1.1 or without them."""

    __slots__ = ("_chunked", "_format", "_unasked", "subscribers")

    def __init__(self, sock: socket.socket, answer: Stream, *, chunked: bool) -> None:
        super().__init__(sock, current_hub().keepalive.schedule(KEEP_ALIVE, None), **answer.described)
        self.subscribers = None
        self.viewer = self.watching = answer.viewer
        self.encoder = answer.format.chunks if chunked else answer.format.plain
        self._format = answer.format
        self._chunked = chunked
        self._unasked = 0
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            with contextlib.suppress(OSError):  # gone already, or a Unix socket
                # The kernel ends the connection if the client acknowledges nothing for that long (RFC 5482).
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(DEAD_AFTER * 1000))

    @property
    def transport(self) -> str:  # type: ignore[override]
        return self._format.name

    def begin(self, head: bytes) -> None:
        """Open the stream, after the head of its response."""
        self.open(head + self.encoder.wrap(self._format.greeting()))
        self.end_if_empty()

    def received(self, data: bytes) -> None:
        self._unasked += len(data)
        if self._unasked > MAX_UNASKED:
            self.connection_lost()

    def end_with(self, closing: Closing) -> None:
        if not self._opened:
            return
        if closing.code == TRY_AGAIN_LATER:
            # The client reads nothing, so the end of the response would not reach it.
            self.connection_lost()
            return
        if self._chunked:
            self.write_bytes(LAST_CHUNK)
        self.close_soon()
        if self._buffer is None:
            self.connection_lost()

    def ping_data(self) -> bytes:
        return self.encoder.wrap(self._format.keep_alive)


class ResponseStream(MultiplexedConnection):
    """A stream that is the body of a Django response: iterate over it to get the bytes to send."""

    __slots__ = ("_format", "_news", "_sent", "_task", "subscribers")

    def __init__(self, answer: Stream) -> None:
        super().__init__(**answer.described)
        self.subscribers = None
        self.viewer = self.watching = answer.viewer
        self.encoder = answer.format.plain
        self._format = answer.format
        self._sent = 0
        """Bytes of the first buffered pieces that the server has taken."""
        self._news = asyncio.Event()
        self._task = asyncio.current_task()

    @property
    def transport(self) -> str:  # type: ignore[override]
        return self._format.name

    def write(self, batch: Batch) -> int:
        self._append(batch.piece(self.encoder))
        self._news.set()
        return 0

    def end_with(self, closing: Closing) -> None:
        if closing.code == TRY_AGAIN_LATER and self._task is not None:
            self._clear_buffer()
            self._task.cancel()  # It waits for a client that reads nothing.
        self._news.set()  # __aiter__ sends the rest and ends.

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._buffer or not self.closed:
            if not self._buffer:
                # Not wait_for(), which on Python 3.10 and 3.11 loses a cancellation that comes with a message.
                timer = asyncio.get_running_loop().call_later(KEEP_ALIVE, self._news.set)
                try:
                    await self._news.wait()
                finally:
                    timer.cancel()
            self._news.clear()
            if pieces := self._next_data(JOIN_LIMIT):
                data = b"".join(pieces)  # one piece is not copied
                # In parts, because servers keep a copy of what a client does not take at once.
                while self._sent < len(data):
                    # Counted first: if the yield is cancelled, the server has already taken the part.
                    start, self._sent = self._sent, min(self._sent + JOIN_LIMIT, len(data))
                    yield data[start : self._sent]
                self._sent = 0
                self._confirm_written()
            elif not self.closed:
                yield self._format.keep_alive


async def _body(answer: Stream) -> AsyncGenerator[bytes, None]:
    """The body of a Django response. It begins when the client is subscribed. Under Daphne the body is empty if the
    connection can be taken over."""
    protocol = daphne.find_protocol(getattr(answer.request, "scope", {}))
    daphne.close_at_shutdown(protocol, current_hub())
    if protocol is None:
        _end_when_stopping()
    elif conf.TRANSPORT == "auto":
        yield b""  # Daphne writes the head of the response together with the first piece.
        if (taken := daphne.take_over(protocol)) is not None:
            stream = SocketStream(taken.sock, answer, chunked=taken.chunked)
            try:
                await answer.subscribe(stream)
            except Refused as refusal:
                instead = refused(answer.request, refusal).as_bytes(CLOSE)
                with taken.sock, contextlib.suppress(OSError):  # The client is gone.
                    if taken.unsent.startswith(b"HTTP/"):  # Otherwise its head is sent, and it breaks off.
                        taken.sock.send(instead)
                return
            stream.begin(taken.unsent)
            return
    subscriber = ResponseStream(answer)
    try:
        await answer.subscribe(subscriber)
        subscriber.end_if_empty()
        yield answer.format.greeting()
        async for piece in subscriber:
            yield piece
            if protocol is not None:
                await daphne.wait_until_taken(protocol)
    except asyncio.CancelledError:
        if not subscriber.closed:
            raise
        if subscriber.lost and protocol is not None:
            daphne.abort(protocol)  # The client reads nothing, so the end would not reach it.
        async for piece in subscriber:  # messages that came before the server stopped
            yield piece
    except Refused as refusal:
        note_refused("GET", str(answer.wanted), refusal, subscribes=True)
    finally:
        current_hub().unsubscribe(subscriber)
        subscriber.release()


def _end_when_stopping() -> None:
    """Close the streams when a signal stops the server. uvicorn and granian wait until each response has ended, and no
    event of ASGI tells the application that they stop. So this function wraps the handlers of these signals. Python
    allows that in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        return
    hub = current_hub()
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler) and getattr(handler, "ends_streams_of", None) is not hub:
            signal.signal(number, _ending_streams(hub, handler))


def _ending_streams(hub: Hub, handler: Callable[..., Any]) -> Callable[..., Any]:
    def handle(*arguments: Any) -> Any:
        hub.call(hub.stop, ResponseStream, MultiplexedSubscriber)
        return handler(*arguments)

    handle.ends_streams_of = hub  # type: ignore[attr-defined]
    return handle
