"""Speaking on a WebSocket: what a client sends on its channel is published there (``WEBSOCKET_PUBLISH``).

The rules:

- A message is published when the one before it is: a client's messages stay in order, and one that sends faster than
  they can be broadcast is held back, as is whoever POSTs. Under Daphne nobody else would do that, see ``Inbox``.
- A client has no answer to look at. What it may not say closes the connection, so that it knows; when only the channel
  layer cannot be reached the message is lost, which is counted, and the connection stays.
- Who listens by a pattern has no channel to speak on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from eventcast.conf import conf
from eventcast.engine import names, publishing
from eventcast.engine.closing import MESSAGE_TOO_BIG, POLICY_VIOLATION
from eventcast.engine.patterns import Pattern
from eventcast.engine.subscribers import Subscriber
from eventcast.exceptions import LayerUnavailable, MessageTooLarge, Refused
from eventcast.security import admission, refusals
from eventcast.security.admission import Permit
from eventcast.server import daphne
from eventcast.server.daphne.inbox import Inbox

logger = logging.getLogger("eventcast.publish")

SLICE = 0.005
"""Seconds of publishing what one client has sent before others get their turn."""


async def speaker_for(
    request: HttpRequest, wanted: str | Pattern, subscriber: Subscriber, protocol: Any
) -> Speaker | None:
    """What publishes what a WebSocket sends; None if that is not to be published, but ignored.

    :param request: its handshake.
    :param wanted: what it listens to.
    :param subscriber: the same client as a listener.
    :param protocol: its Daphne protocol, or None if the server is another one.
    """
    if not conf.WEBSOCKET_PUBLISH or isinstance(wanted, Pattern):
        return None
    try:
        permit = await admission.check_websocket_publish(request, wanted)
    except Refused as refusal:
        logger.info("A subscriber of %s may only listen: %s. %s", names.quoted(wanted), refusal.code, refusal.detail)
        return None
    return Speaker(request, permit, wanted, subscriber, daphne.inbox(protocol))


class Speaker:
    """A client that may speak on the channel it listens to.

    :param request: its handshake.
    :param permit: what it may speak by.
    :param channel: the channel.
    :param subscriber: the same client as a listener.
    :param inbox: what holds it back, where the server does not.
    """

    def __init__(
        self, request: HttpRequest, permit: Permit, channel: str, subscriber: Subscriber, inbox: Inbox | None
    ) -> None:
        self.permit = permit
        self._request = request
        self._channel = channel
        self._subscriber = subscriber
        self._inbox = inbox
        self._turn_ends = 0.0

    async def say(self, event: Mapping[str, Any]) -> None:
        """Publish what the client has sent (``websocket.receive`` of ASGI), or close the connection."""
        text = event.get("text")
        try:
            if not self._subscriber.transport.closed:
                admission.check_rate(self._request, self.permit)
                await publishing.apublish_many(self._channel, [event["bytes"] if text is None else text])
        except LayerUnavailable:  # It stands in the log already.
            if (channel := self._subscriber.channel) is not None:
                channel.lost += channel.count
        except Refused as refusal:
            self._close(refusal)
        if self._inbox is not None:
            self._inbox.taken()
        await self._give_way()

    async def _give_way(self) -> None:
        """A queue that has something does not wait, so neither would we for as long as the client goes on."""
        now = time.monotonic()
        if now >= self._turn_ends:
            await asyncio.sleep(0)
            self._turn_ends = time.monotonic() + SLICE

    def _close(self, refusal: Refused) -> None:
        if refusals.count(refusal.code):
            logger.warning(
                "Refused a message on a socket: %d %s, channel %s, peer %s. %s",
                refusal.status,
                refusal.code,
                names.quoted(self._channel),
                self._subscriber.peer or "unknown",
                refusal.detail,
            )
        code = MESSAGE_TOO_BIG if isinstance(refusal, MessageTooLarge) else POLICY_VIOLATION
        self._subscriber.transport.close(code, refusal.detail)
        self._subscriber.leave()
