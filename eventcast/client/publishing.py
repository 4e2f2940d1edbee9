"""Publishing over HTTP, with the standard library only."""

from __future__ import annotations

import asyncio
import http.client
import json
import select
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote_plus

from eventcast.client.answers import no_answer, refusal
from eventcast.client.targets import Target, check_headers, parse_url
from eventcast.engine.messages import to_data
from eventcast.exceptions import InvalidMessage

TIMEOUT = 10.0
"""Seconds to wait for the server, by default."""

BATCH = 1000
"""Messages in one request at most: with so many, the cost of the request itself does not matter."""

BATCH_SIZE = 64 * 1024
"""Characters in one request at most, except of a single longer message. Percent-encoded they are well below 1 MiB, the
default limit of nginx."""

FORM = "application/x-www-form-urlencoded"
TEXT = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"

Self = TypeVar("Self", bound="HTTPConnection")


def publish(
    url: str,
    data: Any,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
    tls: ssl.SSLContext | None = None,
) -> int:
    """Send a message to all subscribers of a channel.

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
        return publisher.publish(data)


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


class HTTPConnection:
    """A connection to the server of a URL, kept open between requests. Threads may share it: requests take turns."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.target: Target = parse_url(url)
        self._headers = self.target.headers | check_headers(headers)
        self._turn = threading.Lock()
        host, port = self.target.host, self.target.port
        self._connection = (
            http.client.HTTPSConnection(host, port, timeout=timeout, context=tls)
            if self.target.secure
            else http.client.HTTPConnection(host, port, timeout=timeout)
        )

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. The next request opens it again."""
        self._connection.close()

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> dict[str, Any]:
        """Send a request; returns the JSON object of its answer.

        :raises Refused: the answer is not a success.
        :raises ServerUnreachable: there is no answer.
        """
        with self._turn:
            connection = self._connection
            if _has_ended(connection):
                connection.close()
            try:
                connection.request(method, path, body, self._headers | headers)
                response = connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                raise no_answer(self.target.authority, error, secure=self.target.secure) from error
        if 200 <= response.status < 300:
            try:
                found = json.loads(answer)
            except ValueError:
                found = None
            if isinstance(found, dict):
                return found
        raise refusal(response.status, answer, reason=response.reason, retry_after=response.headers.get("Retry-After"))


class Publisher(HTTPConnection):
    """Publishes several messages to one channel over one connection::

        with Publisher("http://127.0.0.1:8000/log") as publisher:
            publisher.publish("starting")

    Threads may share it. The parameters are those of :func:`publish`.
    """

    def publish(self, data: Any) -> int:
        """Send one message, as :func:`publish` does."""
        data = to_data(data)
        if isinstance(data, str):
            return self._post(_encoded(data), TEXT)
        return self._post(data, BINARY)

    async def apublish(self, data: Any) -> int:
        """The same, for a coroutine: a thread waits for the answer."""
        return await asyncio.to_thread(self.publish, data)

    def publish_texts(self, texts: Sequence[str]) -> int:
        """Send texts in one request, in order. If one is refused, none is published."""
        # A form keeps every message exactly. NDJSON would lose blank lines, and CR before LF.
        body = "&".join([f"data={quote_plus(_encoded(text))}" for text in texts])
        return self._post(body.encode("ascii"), FORM)

    def publish_many(self, messages: Iterable[Any]) -> int:
        """Send several messages in order, each as :meth:`publish` would, up to a thousand texts in one request.

        :param messages: may be an endless iterator: only the messages of one request are taken at a time.
        :returns: the number of the channel's subscribers in the process that answered last; 0 if there is no message.
        :raises Refused: the server refused a request. Messages before that request are published, others are not.
        :raises TypeError: ``messages`` is a single message.
        """
        if isinstance(messages, (str, bytes, bytearray, Mapping)):
            kind = type(messages).__name__
            raise TypeError(f"publish_many() takes several messages, not one. Use publish() for this {kind}.")
        subscribers = 0
        for request in _requests(map(to_data, messages)):
            subscribers = self.publish(request) if isinstance(request, bytes) else self.publish_texts(request)
        return subscribers

    def _post(self, body: bytes, kind: str) -> int:
        answer = self.request("POST", self.target.path, body, **{"Content-Type": kind})
        return int(answer.get("subscribers") or 0)


def _requests(messages: Iterable[str | bytes]) -> Iterator[list[str] | bytes]:
    """The messages of each request: several texts together, each binary message by itself."""
    texts: list[str] = []
    size = 0
    for message in messages:
        if isinstance(message, bytes):
            if texts:
                yield texts
            yield message
            texts, size = [], 0
            continue
        if texts and (len(texts) == BATCH or size + len(message) > BATCH_SIZE):
            yield texts
            texts, size = [], 0
        texts.append(message)
        size += len(message)
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
