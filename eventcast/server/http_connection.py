"""An HTTP connection that the door accepted, until it is closed, or given to a subscriber or to Daphne.

The rules (RFC 9112):

- Every request gets a whole answer, in order, one at a time. Later requests wait in the kernel meanwhile.
- The server closes a connection only after an answer that said ``Connection: close``; or between two requests, after a
  long silence.
- After a refusal the server closes only its sending side, and discards received bytes for some seconds. Otherwise
  bytes that the client still sends would reset the connection, and the client could lose the answer (section 9.6).
- A publisher is checked before its body is read.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from eventcast.conf import conf
from eventcast.exceptions import InternalError, Refused, RequestTimeout
from eventcast.http.answers import CLOSE, Answer, note_refused, refusal_answer
from eventcast.http.head import Head, read_head
from eventcast.http.payloads import check_body_size
from eventcast.server.body import Body
from eventcast.server.client_socket import ClientSocket
from eventcast.server.tasks import run_at_once

if TYPE_CHECKING:
    from eventcast.server.door import Door

Result = TypeVar("Result")

logger = logging.getLogger("eventcast.server")

READ_SIZE = 64 * 1024

MIN_RATE = 1000
"""Bytes a second. A long body that comes more slowly is refused."""

IDLE_TIMEOUT = 120.0
"""Most seconds between two requests: over the 60 of proxies, which else might publish while the server closes."""

LINGER_BYTES = 16 * 1024 * 1024
"""Most bytes that are discarded after a refusal. Past them, the connection is closed."""

NEVER = float("inf")

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

NO_HEAD = Head("?", "/?", "1.0", [])
"""The head that answers and log lines use while no request is complete."""
NO_HEAD.target = b"?"


class HTTPConnection(ClientSocket):
    """One connection that speaks HTTP/1.1. A subclass says what is done with a request."""

    __slots__ = ("_body", "_buffer", "_busy", "_discarded", "_head", "_keep_alive")

    def __init__(self, door: Door, sock: socket.socket, address: Any, server: tuple[str, int | None]) -> None:
        super().__init__(door, sock, address, server)
        self._head = NO_HEAD
        self._body: tuple[Body, Callable[[bytes], None]] | None = None
        """A body that is being read, and what is called with it when it is complete."""
        self._buffer = b""
        """Bytes that were read and not used: part of a head, or bytes that came while a request was served."""
        self._busy = False
        """Whether a request is being served."""
        self._keep_alive = True
        self._discarded = 0

    # --- reading ----------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close()
            return
        if self._ended:
            self._discarded += len(data)
            if not data or self._discarded > LINGER_BYTES:
                self._close()
            return
        if not data:
            # A client may close its side and still wait for its answer.
            self._eof = True
            self._pause()
            if not self._busy:
                self._close()
            return
        if self._busy:
            # The body, or the next request: these bytes wait here, and later ones in the kernel.
            self._buffer += data
            self._pause()
            return
        self._buffer = self._buffer + data if self._buffer else data
        self._go_on()

    def _pause(self) -> None:
        self._paused = True
        self._readers.remove(self._socket.fileno())

    def _go_on(self) -> None:
        """Use the bytes of the buffer, up to the end of one request."""
        try:
            while self._buffer and not self._busy and not self._ended:
                if self._body is not None:
                    self._feed(*self._body)
                elif (found := read_head(self._buffer)) is not None:
                    self._head, self._buffer = found
                    self.begin()
                else:
                    self.deadline = min(self.deadline, time.monotonic() + conf.HANDSHAKE_TIMEOUT)
                    break
            if self._eof and not self._busy and not self._ended:
                self._close()  # Half a request, whose rest will never come.
        except Refused as refusal:
            self._refuse(refusal)
        except Exception as error:
            self._failed(error)

    def _feed(self, body: Body, then: Callable[[bytes], None]) -> None:
        before = len(body.content)
        rest = body.feed(self._buffer)
        self._buffer = b"" if rest is None else rest
        self.deadline += (len(body.content) - before) / MIN_RATE
        check_body_size(len(body.content))
        if rest is not None:
            self._body = None
            then(bytes(body.content))

    # --- one request ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The head is complete: serve the request, or raise ``Refused``."""
        raise NotImplementedError

    def _read_body(self, then: Callable[[bytes], None]) -> None:
        """Read the body, then call ``then`` with it."""
        length = self._head.length
        if length is not None:
            check_body_size(length)
            if length <= len(self._buffer):
                body, self._buffer = self._buffer[:length], self._buffer[length:]
                then(body)
                return
        self.deadline = time.monotonic() + conf.BODY_TIMEOUT
        self._body = Body(length), then
        expects = self._head.meta.get("HTTP_EXPECT", "").lower()
        if expects == "100-continue" and self._head.version == "1.1" and not self._buffer:
            self._send(CONTINUE)  # RFC 9110 section 10.1.1

    # --- serving ----------------------------------------------------------------------------------------------------

    def _start(self, serving: Coroutine[Any, Any, Result], then: Callable[[Result], None]) -> None:
        """Serve a request. The next request waits until this one is answered."""
        self._busy = True
        self.deadline = NEVER
        run_at_once(serving, then, self._failed)

    def _failed(self, error: BaseException) -> None:
        """Serving a request has failed."""
        if isinstance(error, asyncio.CancelledError):
            self._close()
            return
        if isinstance(error, Refused):
            self._refuse(error)
            return
        logger.error("Serving a request failed.", exc_info=error)
        self._refuse(InternalError("An error of the server; it is in its log."))

    # --- writing ----------------------------------------------------------------------------------------------------

    def _answer(self, answer: Answer, *, close: bool = False) -> None:
        """Write an answer, then take the next request, or close the connection."""
        head = self._head
        if self._door.log is not None:
            self._log("http", "complete", status=answer.status_code, size=len(answer.content))
        if close or self._door.stopping or (self._eof and not self._buffer):
            self._keep_alive = False
        # A client of HTTP/1.0 closes the connection unless the answer has this header.
        more = b"" if head.version == "1.1" else b"Connection: keep-alive\r\n"
        self._send(answer.as_bytes(more if self._keep_alive else CLOSE, head_only=head.method == "HEAD"))
        if self._unsent:
            self._busy = True
        else:
            self._answered()

    def _log(self, protocol: str, action: str, **details: Any) -> None:
        """Write a line in the access log, if there is one, as Daphne does for its connections."""
        if self._door.log is not None:
            client = f"{self._client[0]}:{self._client[1]}" if self._client else None
            path = self._head.target.decode("latin-1")
            self._door.log(protocol, action, details | {"method": self._head.method, "path": path, "client": client})

    def _refuse(self, refusal: Refused) -> None:
        """Answer with a refusal, and close the connection: the rest of the request may be unread."""
        if self._ended or self._gone:
            return
        if self._head is NO_HEAD and self._buffer.lstrip(b"\r\n").startswith(b"HEAD "):
            self._head = Head("HEAD", "/?", "1.0", [])  # The answer to HEAD has no body.
        note_refused(self._head.method, self._head.target.decode("latin-1"), refusal, subscribes=self._head.upgrades)
        self._ended = self._busy = True
        self._answer(refusal_answer(refusal), close=True)

    def _all_sent(self) -> None:
        if self._busy:
            self._answered()

    def _answered(self) -> None:
        """Called when an answer was sent."""
        if self._gone:
            return
        if not self._keep_alive:
            self._linger()
            return
        self._head = NO_HEAD
        self._busy = False
        self.deadline = time.monotonic() + IDLE_TIMEOUT
        if self._paused or self._buffer:
            self._resume()

    def _resume(self) -> None:
        if self._paused and not self._eof:
            self._paused = False
            self._readers.add(self._socket.fileno(), self._readable)
        elif self._eof and not self._buffer:
            self._close()
        if self._buffer:
            # Not directly: a thousand requests in one packet would nest a thousand calls, and delay others.
            self._door.loop.call_soon(self._go_on_later)

    def _go_on_later(self) -> None:
        if not self._gone and not self._busy:
            self._go_on()

    # --- the end ----------------------------------------------------------------------------------------------------

    def timed_out(self) -> None:
        """The deadline has passed."""
        if self._ended or self._unsent or not (self._buffer or self._body):
            self._close()
        else:
            self._refuse(RequestTimeout("The request was not complete in time. Send it faster."))

    def stop(self) -> None:
        """The server stops: close the connection unless a request is being served, which is answered first."""
        self._keep_alive = False
        if not (self._busy or self._buffer or self._body):
            self._close()
