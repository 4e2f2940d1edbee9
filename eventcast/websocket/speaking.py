"""Publishing on a WebSocket: what a client sends on its channel is published there (``WEBSOCKET_PUBLISH``).

The rules:

- A message is published when the one before it is: a client's messages stay in order, and a client that sends faster
  than they can be broadcast is held back, as a client that POSTs is.
- A client gets no answer on a WebSocket. A message that is refused closes the connection, so that the client knows;
  when only the channel layer cannot be reached the message is lost, which is counted, and the connection stays.
- A subscriber to a pattern has no channel to publish to.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from django.http import HttpRequest

from eventcast.conf import conf
from eventcast.engine import names, sending
from eventcast.engine.closing import MESSAGE_TOO_BIG, POLICY_VIOLATION, Closing
from eventcast.engine.patterns import Pattern
from eventcast.engine.subscribers import Subscriber
from eventcast.exceptions import LayerUnavailable, MessageTooLarge, Refused
from eventcast.security import admission, refusals, throttling
from eventcast.security.authorization.permits import Permit

logger = logging.getLogger("eventcast.publish")

SLICE = 0.005
"""Seconds of publishing what one client has sent before others get their turn."""


async def speaker_for(request: HttpRequest, wanted: str | Pattern) -> Speaker | None:
    """What publishes the messages that a WebSocket sends; None if they are not to be published, but ignored."""
    if not conf.WEBSOCKET_PUBLISH or isinstance(wanted, Pattern):
        return None
    try:
        permit = await admission.check_websocket_publish(request, wanted)
    except Refused as refusal:
        logger.info("A subscriber of %s may only listen: %s. %s", names.quoted(wanted), refusal.code, refusal.detail)
        return None
    return Speaker(request, permit, wanted)


class Speaker:
    """Publishes what one WebSocket, told by its handshake, sends on the channel that it listens to."""

    def __init__(self, request: HttpRequest, permit: Permit, channel: str) -> None:
        self.permit = permit
        self.read: Callable[[str | bytes], tuple[str | bytes, str] | None] = lambda frame: (frame, "")
        """The message in what a client sends, and the name of its event; None if there is none."""
        self._request = request
        self._channel = channel
        self._turn_ends = 0.0

    async def say(self, data: str | bytes, subscriber: Subscriber) -> None:
        """Publish one message, or close the connection of its subscriber."""
        try:
            throttling.book(self._request, self.permit, 1)
            if (found := self.read(data)) is not None:
                message, event = found
                await sending.apublish_all(self._channel, [message], event=event, count=False)
        except LayerUnavailable:  # It stands in the log already.
            if (channel := subscriber.channel) is not None:
                channel.lost += channel.count
        except Refused as refusal:
            client = f"channel {names.quoted(self._channel)}, peer {subscriber.peer or 'unknown'}"
            refusals.note(refusals.PUBLISH, refusal, client, what=" a message on a socket")
            code = MESSAGE_TOO_BIG if isinstance(refusal, MessageTooLarge) else POLICY_VIOLATION
            subscriber.close(Closing(code, refusal.detail))
        # A queue that has something does not wait, and neither would a client's task while the client goes on.
        if time.monotonic() >= self._turn_ends:
            await asyncio.sleep(0)
            self._turn_ends = time.monotonic() + SLICE
