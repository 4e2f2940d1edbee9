"""Listening by plain HTTP: Server-Sent Events and lines of JSON on the channel's own URL."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, StreamingHttpResponse

from eventcast.engine import names
from eventcast.engine.hub import current_hub
from eventcast.engine.messages import Message
from eventcast.engine.patterns import Pattern
from eventcast.engine.subscribers import Subscriber
from eventcast.exceptions import LayerUnavailable, Refused, StreamingUnavailable
from eventcast.http.stream_transport import StreamTransport
from eventcast.security import clients, refusals, revocation
from eventcast.security.admission import Permit
from eventcast.server import daphne

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("eventcast.subscribe")

SSE, NDJSON = "text/event-stream", "application/x-ndjson"

KEEP_ALIVE = 15.0
"""Seconds of silence after which a line without meaning is sent, as the HTML standard advises for proxies' sake."""

DEAD_AFTER = 45.0
"""Seconds that what was sent may go unacknowledged until the peer counts as gone; with KEEP_ALIVE a minute in all."""

RETRY = (1.0, 5.0)
"""Seconds after which an EventSource comes back, drawn for each: all at once would be a stampede."""


def stream(request: HttpRequest, wanted: str | Pattern, form: str, permit: Permit) -> StreamingHttpResponse:
    """Subscribe to a channel, or to all that match a pattern, by a response that never ends.

    :param form: its media type, :data:`SSE` or :data:`NDJSON`.
    :param permit: what whoever asks was let in by.
    :raises StreamingUnavailable: the server is not an ASGI server.
    :raises LayerUnavailable: the server is going away.
    """
    scope: Mapping[str, Any] | None = getattr(request, "scope", None)
    if scope is None:
        raise StreamingUnavailable("Streams need an ASGI server, such as Daphne. Open a WebSocket or ask for JSON.")
    if current_hub().stopping:
        raise LayerUnavailable("The server is going away. Connect again.")
    daphne_request = daphne.find_request(scope)
    descriptor = daphne.descriptor_of(daphne_request)
    if descriptor is not None:
        daphne.close_at_shutdown(daphne_request, current_hub())
        daphne.give_up_after(descriptor, DEAD_AFTER)
    if form == SSE:
        transport = StreamTransport(
            "sse",
            lambda message: message.event,
            # Without a blank line, which some readers take for the end of an event without data.
            greeting=b"retry: %d\n" % (1000 * random.uniform(*RETRY)),
            keep_alive=b":\n",
            keep_alive_interval=KEEP_ALIVE,
            descriptor=descriptor,
        )
    else:
        transport = StreamTransport(
            "ndjson", _line, keep_alive=b"\n", keep_alive_interval=KEEP_ALIVE, greeting=b"\n", descriptor=descriptor
        )
    subscriber = Subscriber(
        transport,
        peer=clients.describe(scope),
        user=permit.user or clients.describe_user(scope),
        identity=permit.identity,
        address=clients.counted_for(scope),
    )
    response = _Response(_body(wanted, subscriber, transport, permit), content_type=form)
    response["Cache-Control"] = "no-cache"
    response["X-Accel-Buffering"] = "no"  # nginx would keep messages until it has a buffer full of them
    return response


def _line(message: Message) -> bytes:
    return message.line


class _Response(StreamingHttpResponse):
    """Ends its body whenever it ends itself. Django leaves that to the garbage collector if its task was cancelled, as
    it is when the client has gone; until then the subscriber would be a ghost."""

    def __init__(self, body: AsyncGenerator[bytes, None], **options: Any) -> None:
        super().__init__(body, **options)
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in super().__aiter__():
                yield piece
        finally:
            await self._body.aclose()


async def _body(
    wanted: str | Pattern, subscriber: Subscriber, transport: StreamTransport, permit: Permit
) -> AsyncGenerator[bytes, None]:
    # The subscription lives and ends in here: a response whose client has left before is never iterated nor closed.
    hub = current_hub()
    try:
        await hub.subscribe(wanted, subscriber)
    except Refused as error:
        if refusals.count(error.code):
            logger.warning("A stream of %s ends before it begins: %s", names.quoted(str(wanted)), error)
        return
    try:
        transport.open(subscriber)
        revocation.watch(hub, wanted, subscriber, permit)
        async for piece in transport:
            yield piece
    except asyncio.CancelledError:
        if not transport.closed:
            raise
        async for piece in transport:  # of what was published before the server began to stop
            yield piece
    finally:
        revocation.forget(hub, subscriber, permit)
        await hub.unsubscribe(wanted, subscriber)
