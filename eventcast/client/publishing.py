"""Publishing over HTTP, with the standard library only."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import select
import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote_plus

from eventcast.client.answers import no_answer, refusal
from eventcast.client.targets import channel_path, check_headers, parse_url
from eventcast.engine.messages import pairs, to_data
from eventcast.exceptions import InvalidMessage

TIMEOUT = 10.0
"""Seconds to wait for the server, by default."""

BATCH = 1000
"""Messages in one request at most: with so many, the cost of the request itself does not matter."""

BATCH_SIZE = 64 * 1024
"""Characters in one request at most, except of a single longer message. Percent-encoded they are well below 1 MiB, the
default limit of nginx."""

IDLE = 10
"""Connections that are kept open while no request uses them."""


def publish(
    url: str,
    data: Any,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
    tls: ssl.SSLContext | None = None,
) -> int:
    """Send a message to all subscribers of a channel. For more than one message, :class:`Publisher` is faster.

    :param url: of the channel, such as ``"http://127.0.0.1:8000/orders/42"``. A user and password in it are sent.
    :param data: ``str`` is sent as text, ``bytes`` as binary, anything else as compact JSON (Django's encoder).
    :param headers: more headers of the request, such as ``Authorization``.
    :param timeout: seconds to wait for the server.
    :param tls: how to check the server's certificate; default: as the system does.
    :returns: the number of the channel's subscribers in the process that answered.
    :raises Refused: the server refused the message; often a subclass, such as ``MessageTooLarge``.
    :raises InvalidMessage: ``data`` has no JSON form, or is text that UTF-8 cannot encode.
    :raises ServerUnreachable: there was no answer. The message may have been published nevertheless.
    :raises ValueError: ``url`` is not a URL, or ``headers`` are not headers.
    """
    with Publisher(url, headers=headers, timeout=timeout, tls=tls) as publisher:
        return publisher.send(publisher.target.path, to_data(data))


async def apublish(
    url: str,
    data: Any,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
    tls: ssl.SSLContext | None = None,
) -> int:
    """The same as :func:`publish`, for a coroutine: a thread waits for the answer."""
    return await asyncio.to_thread(publish, url, data, headers=headers, timeout=timeout, tls=tls)


class Publisher:
    """Publishes to all channels of a server, over connections that it keeps open::

        with Publisher("http://127.0.0.1:8000/live") as publisher:
            publisher.publish("/live/orders/42", {"paid": True})
            publisher.publish("orders/42", {"paid": True})  # the same: a name without a slash is below the URL's path

    Threads and greenlets may share it: requests at the same time have a connection each. A process that was forked
    opens connections of its own. The other parameters, and the errors, are those of :func:`publish`.

    :param url: of the server, with its mount.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.target = parse_url(url)
        self._headers = self.target.headers | check_headers(headers)
        self._timeout, self._tls = timeout, tls
        self._idle: list[http.client.HTTPConnection] = []
        self._pid = os.getpid()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are not in use. The next request opens one again."""
        with contextlib.suppress(IndexError):  # another thread may close, too
            while True:
                self._idle.pop().close()

    def publish(self, channel: str, data: Any, *, event: str = "") -> int:
        """Send one message; returns the number of the channel's subscribers in the process that answered.

        :param event: the name of the event, as for :func:`eventcast.publish`.
        :raises ValueError: ``channel`` is not a channel's name.
        """
        return self.send(channel_path(self.target, channel, event), to_data(data))

    def publish_many(self, messages: Iterable[tuple[str, Any]], *, event: str = "") -> int:
        """Send several messages in order, up to a thousand texts for one channel in one request.

        :param messages: pairs of a channel and its message. This may be an endless iterator: only the messages of one
            request are taken at a time.
        :returns: the number of messages.
        :raises Refused: the server refused a request. Messages before that request are published, others are not.
        :raises TypeError: ``messages`` are not pairs.
        """
        count = 0
        for channel, group in itertools.groupby(pairs(messages), lambda message: message[0]):
            path = channel_path(self.target, channel, event)
            for request in requests(to_data(data) for _, data in group):
                self.send(path, request)
                count += len(request) if isinstance(request, list) else 1
        return count

    async def apublish(self, channel: str, data: Any, *, event: str = "") -> int:
        """The same as :meth:`publish`, for a coroutine: a thread waits for the answer."""
        return await asyncio.to_thread(self.publish, channel, data, event=event)

    async def apublish_many(self, messages: Iterable[tuple[str, Any]], *, event: str = "") -> int:
        """The same as :meth:`publish_many`, for a coroutine."""
        return await asyncio.to_thread(self.publish_many, messages, event=event)

    def send(self, path: str, data: str | bytes | list[str]) -> int:
        """Send a message, or several texts in one request: all are published, or none. Returns as :meth:`publish`.

        :param path: as it is sent, percent-encoded.
        """
        if isinstance(data, bytes):
            body, kind = data, "application/octet-stream"
        elif isinstance(data, str):
            body, kind = _encoded(data), "text/plain; charset=utf-8"
        else:
            # A form keeps every message exactly. NDJSON would lose blank lines, and CR before LF.
            form = "&".join([f"data={quote_plus(_encoded(text))}" for text in data])
            body, kind = form.encode("ascii"), "application/x-www-form-urlencoded"
        return int(self.request("POST", path, body, **{"Content-Type": kind}).get("subscribers") or 0)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> dict[str, Any]:
        """Send a request; returns the JSON object of its answer.

        :raises Refused: the answer is not a success.
        :raises ServerUnreachable: there is no answer.
        """
        connection = self._take()
        try:
            connection.request(method, path, body, self._headers | headers)
            response = connection.getresponse()
            answer = response.read()
        except BaseException as error:
            connection.close()
            if isinstance(error, (OSError, http.client.HTTPException)):
                raise no_answer(self.target.authority, error, secure=self.target.secure) from error
            raise
        if len(self._idle) < IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        if 200 <= response.status < 300:
            with contextlib.suppress(ValueError):
                if isinstance(found := json.loads(answer), dict):
                    return found
        raise refusal(response.status, answer, reason=response.reason, headers=response.headers)

    def _take(self) -> http.client.HTTPConnection:
        """A connection that no other request uses."""
        if self._pid != os.getpid():
            # A fork shares the parent's sockets: both would read the answers. Closing here keeps the parent's open.
            self.close()
            self._pid = os.getpid()
        with contextlib.suppress(IndexError):
            connection = self._idle.pop()
            if _has_ended(connection):
                connection.close()
            return connection
        host, port = self.target.host, self.target.port
        if self.target.secure:
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=self._timeout)


def requests(messages: Iterable[str | bytes]) -> Iterator[list[str] | bytes]:
    """The messages of each request: several texts together, each binary message by itself."""
    texts: list[str] = []
    size = 0
    for message in messages:
        is_text = isinstance(message, str)
        if texts and (not is_text or len(texts) == BATCH or size + len(message) > BATCH_SIZE):
            yield texts
            texts, size = [], 0
        if isinstance(message, str):
            texts.append(message)
            size += len(message)
        else:
            yield message
    if texts:
        yield texts


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidMessage("The text holds surrogates, which UTF-8 cannot encode.") from None


def _has_ended(connection: http.client.HTTPConnection) -> bool:
    """Whether the server has closed an idle connection: there is something to read, but no request was sent.

    This is checked before a request. If the request fails, the client cannot know whether the server has got it.
    """
    if connection.sock is None:
        return False
    if hasattr(select, "poll"):  # select() itself fails for file descriptors above 1023
        poll = select.poll()
        poll.register(connection.sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([connection.sock], [], [], 0)[0])
