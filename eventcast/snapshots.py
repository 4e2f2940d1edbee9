"""Snapshot, then live: what a function of the site returns is the first message of each new subscriber of a channel.

The subscriber is subscribed first, and what is published while the function runs is kept for it. So nothing published
meanwhile is missing, and nothing comes twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import Http404, HttpRequest

from eventcast.engine import messages, names
from eventcast.engine.background import in_task
from eventcast.engine.hub import current_hub
from eventcast.engine.messages import Message
from eventcast.engine.multiplexing import MultiplexedSubscriber
from eventcast.engine.patterns import Pattern
from eventcast.engine.send_buffer import BufferedSubscriber
from eventcast.exceptions import Forbidden, InvalidMessage, LayerUnavailable, NothingToShow, Refused, SnapshotFailed
from eventcast.routes import Route
from eventcast.security import admission, users
from eventcast.security.authorization.permits import Permit
from eventcast.security.threads import in_thread

logger = logging.getLogger("eventcast.subscribe")

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Snapshot:
    """A function that makes the first message of new subscribers, and the route of their channels."""

    route: Route
    function: Callable[..., Any]
    event: str

    async def message(self, request: HttpRequest, channel: str, arguments: dict[str, Any]) -> Message | None:
        """What the function returns as a message; None if it returns None.

        :raises Refused: the function has refused, with one of the errors of ``eventcast.exceptions`` or of Django.
        :raises SnapshotFailed: it has failed, or has returned what cannot be sent.
        """
        try:
            if iscoroutinefunction(self.function):
                data = await in_task(self.function(request, **arguments))
            else:
                data = await in_thread(lambda: self.function(request, **arguments))
            return None if data is None else Message(messages.check_data(messages.to_data(data)), channel, self.event)
        except Http404 as error:
            raise NothingToShow(str(error) or "There is nothing at this path.") from error
        except PermissionDenied as error:
            if said := str(error):
                raise Forbidden(said) from error
            raise Forbidden("This client may not listen to {channel}.", channel=names.printable(channel)) from error
        except InvalidMessage as error:
            logger.exception("The snapshot of %s cannot be sent.", names.quoted(channel))
            raise SnapshotFailed("The first message of this channel cannot be sent. Try again later.") from error
        except Refused:
            raise
        except Exception as error:
            logger.exception("The snapshot of %s failed.", names.quoted(channel))
            raise SnapshotFailed("The first message of this channel could not be made. Try again later.") from error


registry: list[Snapshot] = []
"""In the order in which they were registered; the first that matches a channel is used."""


def snapshot(path: str, *, event: str = "") -> Callable[[Function], Function]:
    """Begin each subscription to a channel with what a function, plain or ``async def``, returns::

        # snapshots.py of any installed app
        @eventcast.snapshot("/live/orders/<int:id>")
        def order(request, id):
            return get_object_or_404(Order, pk=id).as_dict()

    The function gets the request, or the handshake of the WebSocket, and the values of the path's converters as keyword
    arguments. It returns what ``publish`` takes, or None for no first message. What is published while it runs follows
    its message, in order; a message may tell of something that the function has seen already.

    A plain function runs in one of the 16 threads of authorizations. If it raises ``Http404``, ``PermissionDenied`` or
    an error of ``eventcast.exceptions``, the subscription is refused with it; any other exception is logged, and the
    subscription is refused with ``snapshot_failed``. A subscription by a pattern has no snapshot.

    :param path: the channel, or a route of many channels: a route of Django's ``path()`` with its leading slash.
    :param event: the name of the event, as of ``publish``.
    :raises ImproperlyConfigured: ``path`` or the function's arguments are wrong.
    :raises InvalidEventName: ``event`` has a line break or is over 128 bytes.
    """
    if callable(path):
        raise ImproperlyConfigured("The decorator needs a path: @eventcast.snapshot('/orders/<int:id>').")
    route = Route(path)
    messages.check_event_name(event)

    def decorate(function: Function) -> Function:
        route.check_takes(function, "request", function.__name__)
        registry.append(Snapshot(route, function, event))
        return function

    return decorate


async def subscribe(
    subscriber: BufferedSubscriber | MultiplexedSubscriber, request: HttpRequest, wanted: str | Pattern, permit: Permit
) -> None:
    """Subscribe, and put the snapshot of the channel first in the send buffer. Without a snapshot, this waits only for
    :func:`eventcast.security.admission.subscribe`.

    An operator that watches the channel has no snapshot, because an operator sees what is published.

    :raises Refused: as that function; there is no place, or the snapshot is refused or has failed.
    """
    await admission.subscribe(subscriber, wanted, permit)
    if not isinstance(wanted, str) or subscriber.watching:
        return
    for found in registry:
        if found.route.has(wanted) and (arguments := found.route.match(wanted)) is not None:
            break
    else:
        return
    hub = current_hub()
    try:
        users.attach(request)
        message = await found.message(request, wanted, arguments)
        if subscriber.closed:
            if subscriber.losing or hub.stopping:
                raise LayerUnavailable("The server is going away, or too much came meanwhile. Connect again.")
            raise Forbidden("The permission was taken away.")
        if message is not None:
            subscriber.insert_first(message)
    except BaseException:
        hub.unsubscribe(subscriber)
        raise
