"""A connection of the door, until it is closed, becomes a subscriber's or is handed to Daphne.

The rules (RFC 9112):

- Every request gets a whole answer, in order, one at a time. What comes meanwhile waits in the kernel.
- A connection is closed by the server only after an answer that said ``Connection: close``; or between two requests,
  after a long silence.
- A refused request may have more to come. The server then closes its side only, and throws away what comes for a
  moment: closed at once, the connection would be reset under the answer.
- A publisher is checked before its body is read.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import types
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from django.core.exceptions import DisallowedHost as DjangoDisallowedHost

from eventcast.conf import conf
from eventcast.engine import names
from eventcast.engine.patterns import SUBSCRIBE, from_query
from eventcast.exceptions import (
    DisallowedHost,
    InternalError,
    MessageTooLarge,
    Refused,
    RequestTimeout,
    ReservedChannel,
)
from eventcast.http import channels, own_paths, pages, streams
from eventcast.http.answers import Answer, answering, note_refused
from eventcast.http.request import Request
from eventcast.http.wire import answer_bytes, answer_head
from eventcast.layers import is_local
from eventcast.security import admission
from eventcast.server.bodies import ChunkedBody, SizedBody
from eventcast.server.head import Head
from eventcast.websocket import handshake

if TYPE_CHECKING:
    from eventcast.server.door import Door

logger = logging.getLogger("eventcast.server")

READ_SIZE = 64 * 1024

MIN_RATE = 1000
"""Bytes a second that a long body has to come at."""

LINGER_SECONDS = 5.0
LINGER_BYTES = 16 * 1024 * 1024
"""For how long, and how much of it, what still comes after a refusal is thrown away."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HTTPConnection:
    """One connection, on a non-blocking socket that nobody else reads, writes or closes."""

    __slots__ = (
        "_address",
        "_body",
        "_buffer",
        "_busy",
        "_discarded",
        "_door",
        "_eof",
        "_head",
        "_keep_alive",
        "_lingering",
        "_loop",
        "_on_body",
        "_paused",
        "_server",
        "_socket",
        "_unsent",
        "deadline",
    )

    def __init__(self, door: Door, sock: socket.socket, address: Any, server: tuple[str, int | None]) -> None:
        self._door = door
        self._socket = sock
        self._address = address
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._head = Head()
        self._body: SizedBody | ChunkedBody | None = None
        self._on_body: Callable[[bytes], None] = _ignore
        self._buffer = b""
        """What was read and belongs to the next request."""
        self._busy = False
        """Whether a request is being served."""
        self._paused = False
        self._keep_alive = True
        self._lingering = False
        self._discarded = 0
        self._eof = False
        self._unsent = b""
        self.deadline = self._loop.time() + door.times.head
        """When the connection has waited long enough, on the loop's clock."""
        self._loop.add_reader(sock, self._readable)

    # --- reading ----------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close()
            return
        if self._lingering:
            self._discarded += len(data)
            if not data or self._discarded > LINGER_BYTES:
                self._close()
            return
        if not data:
            # A client may close its side and still wait for its answer.
            self._eof = True
            self._loop.remove_reader(self._socket)
            self._paused = True
            if not self._busy:
                self._close()
            return
        self._buffer = self._buffer + data if self._buffer else data
        if self._busy:
            # Half a request, or the next one: it waits, and what comes after it waits in the kernel.
            self._pause()
        else:
            self._go_on()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._loop.remove_reader(self._socket)

    def _go_on(self) -> None:
        """Take what is in the buffer, up to the end of one request."""
        try:
            while self._buffer and not self._busy and not self._lingering:
                data, self._buffer = self._buffer, b""
                if self._body is None:
                    if not self._head.begun:
                        self.deadline = self._loop.time() + self._door.times.head
                    rest = self._head.feed(data)
                    if rest is None:
                        return
                    self._buffer = rest
                    self._begin()
                else:
                    rest = self._body.feed(data)
                    if rest is None:
                        self.deadline = self._loop.time() + self._door.times.body + self._body.size / MIN_RATE
                        self._check_size()
                        return
                    self._check_size()
                    self._buffer = rest
                    if not self._lingering:
                        self._body_complete()
        except Refused as refusal:
            self._refuse(refusal)
        except Exception:
            logger.exception("Serving a request failed.")
            self._refuse(InternalError("An error of the server; it is in its log."))

    # --- one request ------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """The head is complete: find out whom the request is for."""
        head, router = self._head, self._door.router
        self._keep_alive = head.keep_alive and not self._door.stopping
        path = unquote_to_bytes(head.target.partition(b"?")[0])
        if router is None or not head.target.startswith(b"/") or not router.has(path):
            self._hand_over(self._buffer)
        elif head.upgrades:
            if router.has_own_consumer:
                self._hand_over(self._buffer)
            else:
                self._websocket(path)
        elif router.is_channel(path):
            if router.publish_directly:
                self._channel()
            else:
                # For Django, whose server would take a body of any size.
                self._read_body(lambda body: self._hand_over(body + self._buffer, len(body)))
        elif router.publish_directly and path == router.prefix + SUBSCRIBE.encode() and head.method == "GET":
            self._stream_of_pattern()
        else:
            self._hand_over(self._buffer)

    def _request(self, *, websocket: bool = False) -> Request:
        head = self._head
        client = self._address[:2] if isinstance(self._address, tuple) else None
        return Request(head.method, head.target, head.headers, client=client, server=self._server, websocket=websocket)

    def _channel(self) -> None:
        head = self._head
        request = self._request()
        if head.method not in ("POST", "PUT"):
            accept = head.fields.get(b"accept", b"*/*")
            if accept not in (b"*/*", b"application/json") and channels.form_of(request) == pages.HTML:
                self._hand_over(self._buffer)  # a page, with Django's templates
                return
            self._read_body(lambda body: self._start(self._serve(request)))
            return
        if (head.length or 0) > conf.MAX_BODY_SIZE:
            raise _too_large()
        has_all = head.length is not None and len(self._buffer) >= head.length
        if has_all:
            self._read_body(lambda body: self._start(self._publish(request, body)))
        else:
            self._start(self._admit_then_read(request))

    def _read_body(self, then: Callable[[bytes], None]) -> None:
        """Read the body, then go on."""
        length = self._head.length
        if length == 0:
            then(b"")
            return
        if length is not None and length > conf.MAX_BODY_SIZE:
            raise _too_large()
        self.deadline = self._loop.time() + self._door.times.body
        self._on_body = then
        self._body = ChunkedBody() if length is None else SizedBody(length)
        if not self._buffer and self._head.fields.get(b"expect", b"").lower() == b"100-continue":
            self._send(CONTINUE)

    def _check_size(self) -> None:
        if self._body is not None and self._body.size > conf.MAX_BODY_SIZE:
            raise _too_large()

    def _body_complete(self) -> None:
        body, then = self._body, self._on_body
        self._body, self._on_body = None, _ignore
        if body is not None:
            then(body.content())

    # --- serving ----------------------------------------------------------------------------------------------------

    async def _serve(self, request: Request) -> None:
        answer = await _serve(request)
        if isinstance(answer, streams.Stream):
            await self._stream(answer)
        elif isinstance(answer, Answer):
            self._answer(answer)
        else:
            self._hand_over(self._buffer)

    async def _publish(self, request: Request, body: bytes) -> None:
        request.set_body(body)
        self._answer(await _serve(request))

    async def _admit_then_read(self, request: Request) -> None:
        """Check the publisher before its body is read: a stranger's is not worth the memory."""
        answer = await _admit(request)
        if isinstance(answer, Answer):
            self._answer(answer, close=True)
            return
        self._busy = False
        self._read_body(lambda body: self._start(self._publish_admitted(request, body)))
        self._resume()

    async def _publish_admitted(self, request: Request, body: bytes) -> None:
        request.set_body(body)
        self._answer(await _publish(request))

    def _stream_of_pattern(self) -> None:
        request = self._request()

        @answering
        async def subscribe(request: Any) -> Any:
            _check_host(request)
            return await own_paths.subscribe_by(request, from_query(self._head.target.partition(b"?")[2], mount))

        mount = "" if self._door.router is None else self._door.router.prefix.decode()

        async def serve() -> None:
            answer = await subscribe(request)
            if isinstance(answer, streams.Stream):
                await self._stream(answer)
            else:
                self._answer(answer)

        self._read_body(lambda body: self._start(serve()))

    async def _stream(self, answer: streams.Stream) -> None:
        chunked = self._head.version == "1.1"
        more = b"Transfer-Encoding: chunked\r\n" if chunked else b""
        head = answer_head(answer, more=more + b"Connection: close\r\n")
        subscriber = streams.SocketStream(self._give_away(), answer, chunked=chunked)
        await streams.open_stream(subscriber, answer, head + subscriber.greet())

    def _websocket(self, path: bytes) -> None:
        head, router = self._head, self._door.router
        assert router is not None
        handshake.check(head.fields, head.method, head.version)
        channel = names.channel_from_target(head.target)
        mount = router.prefix.decode()
        if mount != "/" and not channel.startswith(mount):
            raise ReservedChannel(f"There is no channel here: channels begin with {mount}.")
        wanted = handshake.wanted_by(channel, head.target.partition(b"?")[2], mount)
        self._start(self._open_websocket(self._request(websocket=True), wanted))

    async def _open_websocket(self, request: Request, wanted: Any) -> None:
        try:
            admitted = await handshake.admit(request, wanted)
        except Refused as refusal:
            handshake.note_refused(refusal, request.target, _describe(self._address))
            self._answer(handshake.refusal_answer(refusal), close=True)
            return
        received = self._buffer
        await handshake.open_websocket(self._give_away(), request, admitted, self._door.rhythm, received)

    def _start(self, serving: Coroutine[Any, Any, None]) -> None:
        """Serve a request: at once if nothing has to be waited for, else in a task."""
        self._busy = True
        self.deadline = float("inf")
        if admission.is_immediate() and is_local():
            try:
                awaited = serving.send(None)
            except StopIteration:
                return
            serving = _resume(serving, awaited)
        task = self._loop.create_task(serving)
        _tasks.add(task)
        task.add_done_callback(functools.partial(self._served))

    def _served(self, task: asyncio.Task[None]) -> None:
        _tasks.discard(task)
        if task.cancelled():
            self._close()
        elif (error := task.exception()) is not None:
            refusal = error if isinstance(error, Refused) else None
            if refusal is None:
                logger.error("Serving a request failed.", exc_info=error)
                refusal = InternalError("An error of the server; it is in its log.")
            self._refuse(refusal)

    # --- writing ----------------------------------------------------------------------------------------------------

    def _answer(self, answer: Answer, *, close: bool = False) -> None:
        """Write an answer, then take the next request, or close the connection."""
        close = close or not self._keep_alive or self._door.stopping or self._eof
        self._keep_alive = not close
        self._send(answer_bytes(answer, close=close, head_only=self._head.method == "HEAD"))
        if not self._unsent:
            self._answered()

    def _refuse(self, refusal: Refused) -> None:
        """Answer a request that is not read to its end, and close the connection."""
        if self._lingering:
            return
        note_refused(self._head.method or "?", self._head.target.decode("latin-1") or "?", refusal)
        self._lingering = True
        self._busy = True
        self._answer(handshake.refusal_answer(refusal), close=True)

    def _send(self, data: bytes) -> None:
        if self._unsent:
            self._unsent += data
            return
        try:
            taken = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            taken = 0
        except OSError:
            self._close()
            return
        if taken < len(data):
            self._unsent = data[taken:]
            self._loop.add_writer(self._socket, self._writable)
            self.deadline = self._loop.time() + self._door.times.body

    def _writable(self) -> None:
        data, self._unsent = self._unsent, b""
        self._loop.remove_writer(self._socket)
        self._send(data)
        if not self._unsent and self._busy:
            self._answered()

    def _answered(self) -> None:
        """An answer has left."""
        if self not in self._door.connections:
            return
        if not self._keep_alive:
            self._linger()
            return
        self._head = Head()
        self._busy = False
        self.deadline = self._loop.time() + self._door.times.idle
        self._resume()

    def _resume(self) -> None:
        if self._paused and not self._eof:
            self._paused = False
            self._loop.add_reader(self._socket, self._readable)
        if self._buffer:
            # Not from here: a thousand requests in one packet would be as many calls deep.
            self._loop.call_soon(self._go_on_later)

    def _go_on_later(self) -> None:
        if self in self._door.connections and not self._busy:
            self._go_on()

    # --- the end ----------------------------------------------------------------------------------------------------

    def timed_out(self) -> None:
        """The deadline has passed."""
        if self._lingering or self._unsent or not (self._head.begun or self._body):
            self._close()
        else:
            self._refuse(RequestTimeout("The request was not complete in time. Send it faster."))

    def stop(self) -> None:
        """The server stops: close the connection unless a request is being served, which is answered first."""
        self._keep_alive = False
        if not self._busy and not self._head.begun:
            self._close()

    def _linger(self) -> None:
        """Close this side, and wait a moment for the client to close its own."""
        if self._eof:
            self._close()
            return
        self._lingering = True
        self._buffer = b""
        self.deadline = self._loop.time() + LINGER_SECONDS
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._close()
            return
        if self._paused:
            self._paused = False
            self._loop.add_reader(self._socket, self._readable)

    def _close(self) -> None:
        if self in self._door.connections:
            sock = self._give_away()
            sock.close()
            self._door.on_closed()

    def _give_away(self) -> socket.socket:
        """Stop to read and write; the socket is the caller's."""
        self._door.connections.discard(self)
        self._loop.remove_reader(self._socket)
        if self._unsent:
            self._loop.remove_writer(self._socket)
        return self._socket

    def _hand_over(self, received: bytes, length: int | None = None) -> None:
        """Give the connection to Daphne.

        :param received: what has come after the head.
        :param length: the length of the body, where it was read already.
        """
        self._busy = True
        head = self._head.for_daphne(length)
        self._door.hand_over(self._give_away(), head + received)


_tasks: set[asyncio.Task[None]] = set()


@answering
async def _serve(request: Any) -> Any:
    """Serve a request to a channel whose body is there."""
    _check_host(request)
    return await channels.serve(request, names.channel_from_target(request.target))


@answering
async def _admit(request: Any) -> Any:
    """Check a publisher; returns what :func:`_publish` needs."""
    _check_host(request)
    request.channel = names.channel_from_target(request.target)
    request.permit = await admission.check_publish(request, request.channel)
    return request


@answering
async def _publish(request: Any) -> Any:
    return await channels.publish(request, request.channel, request.permit)


def _check_host(request: Any) -> None:
    try:
        request.get_host()
    except DjangoDisallowedHost as error:
        raise DisallowedHost(f"{error!s:.200} (ALLOWED_HOSTS in the settings.)") from None


def _too_large() -> MessageTooLarge:
    return MessageTooLarge(
        f"The body is larger than {conf.MAX_BODY_SIZE} bytes (EVENTCAST['MAX_BODY_SIZE']). "
        "Publish a link to it, or split it."
    )


@types.coroutine
def _resume(serving: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """Go on with a coroutine that was begun outside of a task, and now waits for a future."""
    while True:
        try:
            value = yield awaited
        except BaseException as error:
            step: Callable[[], Any] = functools.partial(serving.throw, error)
        else:
            step = functools.partial(serving.send, value)
        try:
            awaited = step()
        except StopIteration:
            return


def _ignore(body: bytes) -> None:
    pass


def _describe(address: Any) -> str:
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else ""
