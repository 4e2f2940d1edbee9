"""Publishing over HTTP, with nothing but the standard library."""

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
from eventcast.client.headers import check_headers
from eventcast.client.targets import Target, parse_url
from eventcast.engine.messages import to_data
from eventcast.exceptions import InvalidMessage

TIMEOUT = 10.0
"""Seconds until a server that says nothing is given up."""

BATCH = 1000
"""Messages in one request: enough that the request itself costs next to nothing."""

BATCH_SIZE = 64 * 1024
"""Characters in one request, unless one message has more. Percent-encoded that is well below 1 MiB, which is all that
nginx takes by default."""

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
    """Send a message to everyone who listens to a channel now.

    :param url: of the channel, such as ``"http://127.0.0.1:8000/orders/42"``; a user and password in it are sent.
    :param data: ``str`` is sent as text, ``bytes`` as binary, anything else as compact JSON (Django's encoder).
    :param headers: more headers of the request, such as ``Authorization``.
    :param timeout: seconds to wait for the server.
    :param tls: how to check the server's certificate; default: as the system does.
    :returns: how many subscribers the process that answered has on the channel.
    :raises Refused: the server turned it down; a subclass such as ``MessageTooLarge`` where there is one for it.
    :raises InvalidMessage: ``data`` has no JSON form or is text that UTF-8 cannot encode.
    :raises ServerUnreachable: there was no answer. It may have been published nevertheless.
    :raises ValueError: ``url`` is none, or ``headers`` are none.
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
    """The same as :func:`publish`, to be awaited: it waits in a thread."""
    return await asyncio.to_thread(publish, url, data, headers=headers, timeout=timeout, tls=tls)


class HTTPConnection:
    """A connection to the server of a URL, kept for the next request. Safe in any thread; a request waits its turn."""

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
        """Close the connection; the next request opens it again."""
        self._connection.close()

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> dict[str, Any]:
        """Send a request; returns the JSON object of its answer.

        :raises Refused: the answer is another. :raises ServerUnreachable: there is none.
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
    """Publishes to one channel over a connection that is kept, for those who have more than one message::

        with Publisher("http://127.0.0.1:8000/log") as publisher:
            publisher.publish("starting")

    Safe in any thread. The parameters are those of :func:`publish`.
    """

    def publish(self, data: Any) -> int:
        """Send one message; as :func:`publish`."""
        data = to_data(data)
        if isinstance(data, str):
            return self._post(_encoded(data), TEXT)
        return self._post(data, BINARY)

    async def apublish(self, data: Any) -> int:
        """The same, to be awaited: it waits in a thread."""
        return await asyncio.to_thread(self.publish, data)

    def publish_texts(self, texts: Sequence[str]) -> int:
        """Send texts in one request: all of them, in order, or none if one is refused."""
        # A form keeps every message exactly. Lines of text (NDJSON) would lose blank ones and CR before LF.
        body = "&".join([f"data={quote_plus(_encoded(text))}" for text in texts])
        return self._post(body.encode("ascii"), FORM)

    def publish_many(self, messages: Iterable[Any]) -> int:
        """Send several messages, in order, each as :meth:`publish` would, but texts by the thousand in one request.

        :param messages: may be an iterator without end: no more are taken from it than go in one request.
        :returns: how many subscribers the process that answered last has on the channel; 0 if there is no message.
        :raises Refused: one of them was turned down, and with it those in the same request. All before have been
            published, those after it have not.
        :raises TypeError: it is one message, which :meth:`publish` takes.
        """
        if isinstance(messages, (str, bytes, bytearray, Mapping)):
            raise TypeError(
                f"publish_many() takes several messages, not one. publish() takes this {type(messages).__name__}."
            )
        subscribers = 0
        for request in _requests(map(to_data, messages)):
            subscribers = self.publish(request) if isinstance(request, bytes) else self.publish_texts(request)
        return subscribers

    def _post(self, body: bytes, kind: str) -> int:
        answer = self.request("POST", self.target.path, body, **{"Content-Type": kind})
        return int(answer.get("subscribers") or 0)


def _requests(messages: Iterable[str | bytes]) -> Iterator[list[str] | bytes]:
    """The messages as they go out: texts together as long as there are few, a binary one by itself."""
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
    """Whether the server has closed a connection that was kept: there is something to read, and nothing was asked.

    It is looked for beforehand, since afterwards nobody knows whether the request was heard.
    """
    if connection.sock is None:
        return False
    if hasattr(select, "poll"):  # select itself knows no file descriptor above 1023
        poll = select.poll()
        poll.register(connection.sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([connection.sock], [], [], 0)[0])
