"""Messages on their way to a channel: in batches, again where that is right, and counted."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

from eventcast.client import Publisher
from eventcast.client.reconnecting import backoff, may_pass
from eventcast.commandline import say, sentence
from eventcast.exceptions import EventcastError, MessageTooLarge, Refused, ServerUnreachable, TooManyPublishes


class Sender:
    """Publishes batches, and waits as long as the server asks to.

    :param retry: whether to wait for a server that cannot be reached, too. What the request on its way was about may
        then be published twice.
    """

    def __init__(self, publisher: Publisher, *, retry: bool) -> None:
        self._publisher = publisher
        self._retry = retry
        self._failures = 0
        self._lost_at = 0.0
        self._under_way = 0
        self.messages = 0
        """Messages that are published."""
        self.subscribers = 0
        """Subscribers that the process which answered last has on the channel."""
        self.unheard = 0
        """Messages of those for which nobody was there."""

    def send(self, batch: Sequence[str | bytes]) -> None:
        """Publish all of them, in order.

        :raises Refused: one of them is turned down. All before it are published.
        :raises ServerUnreachable: there is no answer, and none is waited for.
        """
        for kind, group in itertools.groupby(batch, type):
            if kind is str:
                self._send_in_one(list(group))
            else:
                for data in group:
                    self._send_in_one([data])

    def explain(self, error: EventcastError) -> EventcastError:
        """The error that ended this, with what has become of the messages before it."""
        before = f"Messages published before: {self.messages}"
        if isinstance(error, Refused):
            error.detail = f"{sentence(error.detail)} {before}."
            return error
        return ServerUnreachable(
            f"{sentence(str(error))} {before}; the next {self._under_way} may be or not, and the rest is not. "
            "(--retry waits for the server.)"
        )

    def _send_in_one(self, request: Sequence[Any]) -> None:
        """Publish what goes in one request. If that is refused nobody has got any of it: it may be sent once more."""
        while True:
            self._under_way = len(request)
            try:
                if len(request) == 1:
                    self.subscribers = self._publisher.publish(request[0])
                else:
                    self.subscribers = self._publisher.publish_texts(request)
            except (Refused, ServerUnreachable) as error:
                divisible = isinstance(error, MessageTooLarge | TooManyPublishes) and len(request) > 1
                if not (divisible and isinstance(error, MessageTooLarge)):
                    time.sleep(self._pause(error))
                if divisible:
                    # By halves, until a message that is too large stands alone, or the burst holds the request.
                    middle = len(request) // 2
                    self._send_in_one(request[:middle])
                    request = request[middle:]
            else:
                self._succeeded(len(request))
                return

    def _succeeded(self, messages: int) -> None:
        self.messages += messages
        self.unheard += 0 if self.subscribers else messages
        if self._failures:
            say(f"The server is there again after {time.monotonic() - self._lost_at:.1f} s.")
            self._failures = 0

    def _pause(self, error: Refused | ServerUnreachable) -> float:
        """Seconds until the request may be sent again. Raises ``error`` itself if it may not."""
        if isinstance(error, Refused) and error.status in (429, 503) and error.retry_after is not None:
            say(f"The server asks for a pause of {error.retry_after:g} s: {error.detail}")
            return error.retry_after
        if not self._retry or not may_pass(error):
            raise error
        if not self._failures:
            self._lost_at = time.monotonic()
            say(f"{sentence(str(error))} Trying again until the server is there.")
        self._failures += 1
        return backoff(self._failures - 1)
