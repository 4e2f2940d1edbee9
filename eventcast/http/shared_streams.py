"""One stream for several channels: ``GET /a?channel=/b&channel=/c``, for pages that may open few connections.

Each channel is admitted by itself. The client is told ``hello`` for each that it may listen to, and ``bye`` for each
that it may not, or not any more.
"""

from __future__ import annotations

from django.http import HttpRequest

from eventcast import snapshots
from eventcast.engine import names, notices
from eventcast.engine.hub import current_hub
from eventcast.engine.multiplexing import MultiplexedConnection, MultiplexedSubscriber
from eventcast.exceptions import Refused, ReservedChannel
from eventcast.http import pages
from eventcast.http.answers import note_refused
from eventcast.http.formats import KEEP_ALIVE, Format
from eventcast.http.streams import Stream, check_streams, permit_to_listen
from eventcast.security import clients
from eventcast.security.authorization.permits import Permit


class SharedStream(Stream):
    """The answer to a client that listens to several channels."""

    __slots__ = ("_found",)

    def __init__(self, request: HttpRequest, found: dict[str, Permit | Refused], format: Format) -> None:
        super().__init__(request, next(iter(found)), format, Permit())
        self._found = found

    async def subscribe(self, connection: MultiplexedConnection) -> None:
        connection.hub = current_hub()  # It counts the buffered bytes.
        admitted = {name: found for name, found in self._found.items() if isinstance(found, Permit)}
        subscribers = {
            name: MultiplexedSubscriber(connection, **clients.described(self.request, permit.user, permit.identity))
            for name, permit in admitted.items()
        }
        for name, found in self._found.items():
            if isinstance(found, Permit):
                connection.send_notice("hello", notices.hello(name, KEEP_ALIVE, found.expires_at, publish=False))
            else:
                self._refuse(connection, name, found)
        try:
            for name, subscriber in subscribers.items():
                try:
                    await snapshots.subscribe(subscriber, self.request, name, admitted[name])
                except Refused as refusal:
                    if not subscriber.closed:
                        subscriber.closed = True
                        self._refuse(connection, name, refusal)
        except BaseException:
            for subscriber in subscribers.values():
                subscriber.end()
            raise
        connection.set_subscribers(list(subscribers.values()))

    def _refuse(self, connection: MultiplexedConnection, name: str, refusal: Refused) -> None:
        note_refused("GET", name, refusal, subscribes=True)
        detail = pages.translated_for(self.request, refusal.detail)
        connection.send_notice("bye", notices.refused(refusal, detail, channel=name))


async def stream(request: HttpRequest, channels: list[str], format: Format) -> SharedStream:
    """Check to which of these channels a request may subscribe, and make the answer."""
    check_streams(request)
    return SharedStream(request, {name: await _check(request, name) for name in dict.fromkeys(channels)}, format)


async def _check(request: HttpRequest, name: str) -> Permit | Refused:
    try:
        names.check_channel(name)
        if not _is_served_here(request, name):
            raise ReservedChannel("There is no channel here beside that of the request.")
        return await permit_to_listen(request, name)
    except Refused as refusal:
        return refusal


def _is_served_here(request: HttpRequest, name: str) -> bool:
    """Whether a channel lies below the same mount as the channel of the request."""
    root_path = request.META.get("SCRIPT_NAME", "").rstrip("/")
    own, other = pages.view_at(request.path_info), pages.view_at(name.removeprefix(root_path))
    if own is None or other is None:
        return False
    # The view of the mount itself has the same route, without the expression for what lies below.
    return (own.route.rstrip("^"), own.kwargs) == (other.route.rstrip("^"), other.kwargs)
