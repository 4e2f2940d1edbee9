"""Publishes messages of a command line: in batches, again if necessary, and counted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import cast

from eventcast.client import Publisher
from eventcast.client.answers import sentence
from eventcast.client.publishing import requests
from eventcast.client.reconnecting import Outage, backoff, may_pass
from eventcast.client.targets import channel_path
from eventcast.commandline import say
from eventcast.exceptions import EventcastError, MessageTooLarge, Refused, ServerUnreachable, TooManyPublishes


class Sender:
    """Publishes batches to one channel, and waits as long as the server asks to.

    :param path: of the channel, for what is told.
    :param retry: whether to wait for a server that cannot be reached. Messages of the interrupted request may then be
        published twice.
    """

    def __init__(self, publisher: Publisher, path: str, *, retry: bool) -> None:
        self._publisher, self._path = publisher, channel_path(publisher.target, path)
        self._retry = retry
        self._outage = Outage(path, say)
        self._failures = 0
        self._under_way = 0
        self.messages = 0
        """Messages that were published."""
        self.subscribers = 0
        """The channel's subscribers in the process that answered last."""
        self.unheard = 0
        """Published messages without any subscriber."""

    def send(self, batch: Sequence[str | bytes]) -> None:
        """Publish messages in order.

        :raises Refused: the server refused a message. All messages before it are published.
        :raises ServerUnreachable: there is no answer, and ``retry`` is false.
        """
        for request in requests(batch):
            self._request([request] if isinstance(request, bytes) else request)

    def explain(self, error: EventcastError) -> EventcastError:
        """The error that ended the sending, with what it means for the messages."""
        before = f"Messages published before: {self.messages}"
        if isinstance(error, Refused):
            error.detail = f"{sentence(error.detail)} {before}."
            return error
        return ServerUnreachable(
            f"{sentence(str(error))} {before}; the next {self._under_way} may be published or not, the rest is not. "
            "(--retry waits for the server.)"
        )

    def _request(self, messages: list[str] | list[bytes]) -> None:
        """Publish messages in one request. A refused request has published none of them, and can be repeated."""
        while True:
            self._under_way = len(messages)
            try:
                request = messages[0] if len(messages) == 1 else cast(list[str], messages)
                self.subscribers = self._publisher.send(self._path, request)
            except (Refused, ServerUnreachable) as error:
                if len(messages) == 1 or not isinstance(error, MessageTooLarge):
                    time.sleep(self._pause(error))
                if len(messages) > 1 and isinstance(error, (MessageTooLarge, TooManyPublishes)):
                    # Halves, until a message that is too large is alone, or the request is within the server's burst.
                    middle = len(messages) // 2
                    self._request(messages[:middle])
                    messages = messages[middle:]
            else:
                self._outage.back()
                self._failures = 0
                self.messages += len(messages)
                self.unheard += 0 if self.subscribers else len(messages)
                return

    def _pause(self, error: Refused | ServerUnreachable) -> float:
        """The seconds until the request is repeated. Raises ``error`` itself if the request must not be repeated."""
        if isinstance(error, Refused) and error.status in (429, 503) and error.retry_after is not None:
            say(f"The server asks for a pause of {error.retry_after:g} s: {error.detail}")
            return error.retry_after
        if not self._retry or not may_pass(error):
            raise error
        self._outage.lost(str(error))
        self._failures += 1
        return backoff(self._failures - 1)
