"""Subscribing over a WebSocket that reconnects by itself, with asyncio and without."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Mapping
from typing import Any, NoReturn

from eventcast.client.answers import no_answer, refusal
from eventcast.client.frames import Line
from eventcast.client.reconnecting import Course, OnState
from eventcast.client.targets import check_headers, parse_url
from eventcast.engine.background import BackgroundLoop
from eventcast.exceptions import EventcastError, ServerUnreachable

try:
    from websockets.asyncio.client import ClientConnection, connect
    from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus, WebSocketException
except ImportError as error:
    raise ImportError(
        "Subscribing needs the package websockets: pip install 'websockets>=15', "
        "or with eventcast itself: pip install 'eventcast[client]'"
    ) from error

OPENING = 15.0
"""Seconds until a connection must be open."""

PING_INTERVAL = 20.0
"""Seconds between two pings, by default. A connection without a pong for as long is lost."""

CLOSING = 2.0
"""Seconds that the server has for the closing handshake; fewer if pings are more frequent."""

SUBPROTOCOLS = ("eventcast.v1", "eventcast")
"""What is offered, see docs/protocol.md. An older server chooses the second one, or none, and sends plain payloads."""

QUEUE = 1000
"""Messages that wait in the client, by default."""

# asyncio's timeout is an OSError only since Python 3.11.
_NOT_OPENED = (OSError, asyncio.TimeoutError, EOFError, WebSocketException)

_background = BackgroundLoop("eventcast.client")
"""Runs the connections of programs without an event loop."""


def subscribe(
    url: str,
    *,
    reconnect: bool = True,
    wait: bool = False,
    on_state: OnState | None = None,
    headers: Mapping[str, str] | None = None,
    queue: int = QUEUE,
    ping_interval: float = PING_INTERVAL,
    tls: ssl.SSLContext | None = None,
) -> Subscription:
    """Subscribe to a channel, with ``async with`` and ``async for``, or with ``with`` and ``for``.

    Inside ``with``, the client is subscribed: a message that is published from then on arrives. Messages are ``str`` or
    ``bytes``, as they were published. A lost connection is reopened after 0.5 to 4, later up to 30 seconds. Messages
    that are published in that time are missing; ``on_state`` is told. Proxies of the environment are not used.

    :param url: of the channel, such as ``"http://127.0.0.1:8000/orders/42"``, ``ws:`` as well as ``http:``.
    :param reconnect: whether to reopen a lost connection; if not, the loop ends with ``ServerUnreachable``.
    :param wait: whether to wait for a server that is not there yet; if not, entering raises ``ServerUnreachable``.
    :param on_state: called with a :class:`State` when the subscription opens, waits to reconnect, and closes. It must
        not wait: with ``with`` and ``for`` it runs in a thread that all subscriptions of the process share.
    :param headers: more headers of the request, such as ``Authorization``.
    :param queue: messages that wait in the client for the loop. More wait in the server, up to its own limit. A loop
        that takes none for half a minute loses the connection.
    :param ping_interval: seconds between two pings. A server that does not answer a ping for as long is lost. A
        connection that vanished is noticed after three times as long at most.
    :param tls: how to check the server's certificate; default: as the system does.
    :raises Refused: on entering or in the loop: the server refuses the subscription for good.
    :raises ValueError: ``url`` is not a URL, or ``headers`` are not headers.
    """
    target = parse_url(url)
    options: dict[str, Any] = {
        "subprotocols": SUBPROTOCOLS,
        "additional_headers": target.headers | check_headers(headers),
        "compression": None,  # useless for small messages, and the server is faster without it
        "proxy": None,
        "open_timeout": OPENING,
        "ping_interval": ping_interval,
        "ping_timeout": ping_interval,
        "close_timeout": min(CLOSING, ping_interval),
        "max_size": None,  # the server limits the size of messages
        "max_queue": queue,
    }
    if target.secure and tls is not None:
        options["ssl"] = tls
    return Subscription(target.websocket_url, options, {"reconnect": reconnect, "wait": wait, "on_state": on_state})


class _Connect(connect):
    """Does not follow redirects: websockets would take headers such as X-API-Key to another server."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class Subscription:
    """The result of :func:`subscribe`: enter it to get the messages. It can be entered more than once."""

    def __init__(self, url: str, options: dict[str, Any], course: dict[str, Any]) -> None:
        self._url, self._options, self._course = url, options, course
        self._entered: list[AsyncMessages] = []

    async def __aenter__(self) -> AsyncMessages:
        messages = AsyncMessages(self._url, self._options, Course(**self._course))
        await messages.open()
        self._entered.append(messages)
        return messages

    async def __aexit__(self, *exc_info: object) -> None:
        await self._entered.pop().close()

    def __enter__(self) -> Messages:
        return Messages(_background.run(self.__aenter__()))

    def __exit__(self, *exc_info: object) -> None:
        _background.run(self.__aexit__())

    def __iter__(self) -> NoReturn:
        raise TypeError("Not subscribed yet: with subscribe(...) as messages, and then for message in messages.")

    def __aiter__(self) -> NoReturn:
        raise TypeError(
            "Not subscribed yet: async with subscribe(...) as messages, and then async for message in messages."
        )


class AsyncMessages:
    """The messages of a subscription, by ``async for``."""

    def __init__(self, url: str, options: dict[str, Any], course: Course) -> None:
        self._url, self._options, self._course = url, options, course
        self._connection: ClientConnection | None = None
        self._closed = asyncio.Event()
        self._line = Line(course.missed)

    async def open(self) -> None:
        """Subscribe, after several tries if necessary. Raises ``EventcastError`` if there is no next try."""
        while not self._closed.is_set():
            try:
                self._connection = await _Connect(self._url, **self._options)
            except _NOT_OPENED as error:
                await self._wait(self._course.lost(_explain(self._url, error)))
            else:
                self._course.opened()
                return

    async def close(self) -> None:
        """End the subscription and the loop. Nothing happens the second time."""
        self._closed.set()
        if self._connection is not None:
            await self._connection.close()
        self._course.closed()

    def __aiter__(self) -> AsyncMessages:
        return self

    async def __anext__(self) -> str | bytes:
        while self._connection is not None and not self._closed.is_set():
            try:
                frame = await self._receive(self._connection)
            except (ConnectionClosed, ServerUnreachable) as error:
                if self._closed.is_set():
                    break
                await self._reopen(error)
                continue
            if self._connection.subprotocol != SUBPROTOCOLS[0]:
                return frame
            if (message := self._line.take(frame)) is not None:
                return message
        raise StopAsyncIteration

    async def _receive(self, connection: ClientConnection) -> str | bytes:
        """The next frame. If the server is silent for too long, abort the connection and raise ``ServerUnreachable``.

        The clock runs only while the program waits: frames that wait for the program are no silence.
        """
        if not (patience := self._line.patience):
            return await connection.recv()
        timer = asyncio.get_running_loop().call_later(patience, connection.transport.abort)
        try:
            return await connection.recv()
        except ConnectionClosed:
            if timer.when() <= asyncio.get_running_loop().time():
                raise ServerUnreachable(f"Nothing came from {self._url} for {patience:g} seconds.") from None
            raise
        finally:
            timer.cancel()

    async def _reopen(self, error: ConnectionClosed | ServerUnreachable) -> None:
        """Reconnect after a lost connection, or raise the error if there is no next try."""
        line, self._line = self._line, Line(self._course.missed)
        found = _explain(self._url, error)
        if line.is_hopeless:
            raise found
        await self._wait(self._course.lost(found, *_close_of(error), retry=line.retry))
        await self.open()

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._closed.wait(), seconds)


class Messages:
    """The messages of a subscription, by ``for``. :meth:`close` may be called by another thread to end the loop."""

    def __init__(self, messages: AsyncMessages) -> None:
        self._messages = messages

    def close(self) -> None:
        """End the subscription and the loop. Nothing happens the second time."""
        _background.run(self._messages.close())

    def __iter__(self) -> Messages:
        return self

    def __next__(self) -> str | bytes:
        try:
            return _background.run(self._messages.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None


def _explain(url: str, error: Exception) -> EventcastError:
    """The error as an error of eventcast's."""
    if isinstance(error, ServerUnreachable):
        return error
    if isinstance(error, InvalidStatus):
        answer = error.response
        body, reason = bytes(answer.body), answer.reason_phrase
        return refusal(answer.status_code, body, reason=reason, headers=answer.headers, websocket=True)
    # websockets does not read answers of HTTP/1.0, which Python's own WSGI server sends.
    if isinstance(error, InvalidMessage) and (old := re.search(r"HTTP/1\.0 (\d{3}) ?([^']*)", str(error.__cause__))):
        return refusal(int(old[1]), b"", reason=old[2], websocket=True)
    if isinstance(error, ConnectionClosed):
        # Without a close frame of the server, the client may have closed: a ping had no answer.
        frame = error.rcvd or error.sent
        reason = f": {frame.reason}" if frame is not None and frame.reason else ""
        found = ServerUnreachable(f"The connection to {url} was closed with {_close_of(error)[0]}{reason}")
    else:
        found = no_answer(url, error, secure=url.startswith("wss:"))
    found.__cause__ = error
    return found


def _close_of(error: ConnectionClosed | ServerUnreachable) -> tuple[int, str]:
    """The close code and the reason of the server's close frame; 1006 if there was none."""
    frame = error.rcvd if isinstance(error, ConnectionClosed) else None
    return (1006, "") if frame is None else (frame.code, frame.reason)
