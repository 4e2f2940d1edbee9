"""The WebSocket side: whoever opens a socket to a path listens to that channel, or to all that match a pattern."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Mapping
from typing import Any

from channels.consumer import AsyncConsumer
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from eventcast.engine import names, patterns
from eventcast.engine.closing import ONLY_LISTENS, POLICY_VIOLATION
from eventcast.engine.hub import Hub, current_hub
from eventcast.engine.patterns import Pattern
from eventcast.engine.subscribers import Subscriber
from eventcast.exceptions import DisallowedHost, LayerUnavailable, Refused, ReservedChannel, TooManyFrames
from eventcast.security import admission, clients, refusals, revocation, throttling
from eventcast.security.admission import Permit
from eventcast.server import daphne
from eventcast.websocket import speaking, transports
from eventcast.websocket.speaking import Speaker

SUBPROTOCOL = "eventcast"

logger = logging.getLogger("eventcast.subscribe")


class EventcastConsumer(AsyncConsumer):
    """The catch-all consumer: mount it with ``EventcastConsumer.as_asgi()``, or see ``eventcast.routing``.

    It is a Channels consumer from outside, but does not use Channels' dispatch: that costs every connection a layer
    channel of its own and two tasks, and every event a hop to the process's one database thread, so that a slow query
    anywhere would hold up all messages. What comes from the layer comes through the hub, once for all subscribers.
    """

    channel_layer_alias = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve one connection (ASGI WebSocket), until it is over."""
        if "eventcast.protocol" not in scope:
            scope = {**scope, "eventcast.protocol": daphne.find_protocol(send, scope.get("client"))}
        protocol = scope["eventcast.protocol"]
        await receive()  # websocket.connect
        hub = current_hub()
        try:
            wanted, subscriber, speaker, permit = await admit(scope, send, protocol, hub)
        except Refused as refusal:
            await refuse(refusal, scope, send, protocol)
            return
        # From here on a finally: Channels' disconnect() is not called for consumers that raise or are cancelled.
        try:
            if protocol is not None:
                daphne.close_at_shutdown(protocol, hub)
            await send(accepted(scope))
            subscriber.transport.open(subscriber)
            overheard = None
            if speaker is None:
                subscriber.transport.count_inbound(functools.partial(Overheard, subscriber, scope))
            while (event := await receive())["type"] != "websocket.disconnect":
                if speaker is not None:
                    await speaker.say(event)
                else:
                    overheard = overheard or Overheard(subscriber, scope)
                    overheard(1, len(event.get("bytes") or event.get("text") or ""))
        except asyncio.CancelledError:
            if not subscriber.transport.closed:
                raise
            await subscriber.transport.finish()
        finally:
            revocation.forget(hub, subscriber, permit)
            await hub.unsubscribe(wanted, subscriber)


class Overheard:
    """What a client says that only listens. It is not for us, and a little of it does no harm; past that it is closed.

    :param scope: its handshake's, for the log.
    """

    def __init__(self, subscriber: Subscriber, scope: Mapping[str, Any]) -> None:
        self._subscriber = subscriber
        self._scope = scope
        self._inbound = throttling.Inbound()

    def __call__(self, frames: int, size: int) -> bool:
        """Count frames, and the bytes in them; returns whether the connection is still to be read from."""
        transport = self._subscriber.transport
        if not transport.closed:
            try:
                self._inbound.count(frames, size)
            except TooManyFrames as refusal:
                note(refusal, self._scope)
                transport.close(*ONLY_LISTENS)
                self._subscriber.leave()
        return not transport.closed


async def admit(
    scope: dict[str, Any], send: Any, protocol: Any, hub: Hub
) -> tuple[str | Pattern, Subscriber, Speaker | None, Permit]:
    """Let a WebSocket subscribe to what it asks for.

    Returns what that is, the subscriber, its speaker if it may speak as well, and its permit. What else is made on the
    way, such as the request, goes when this is over; what the consumer holds stays for as long as the connection.

    :raises Refused: it may not, or not now.
    """
    check_host(scope)
    wanted = wanted_by(scope, protocol)
    request = admission.request_of_websocket(scope)
    permit = await admission.check_subscribe(request, wanted)
    subscriber = Subscriber(
        transports.for_websocket(send, protocol),
        peer=clients.describe(scope),
        user=permit.user or clients.describe_user(scope),
        identity=permit.identity,
        address=clients.counted_for(scope),
    )
    speaker = await speaking.speaker_for(request, wanted, subscriber, protocol)
    if speaker is not None:
        permit &= speaker.permit
        if not subscriber.user:
            subscriber.user, subscriber.identity = permit.user, permit.identity
    if hub.stopping:
        raise LayerUnavailable("The server is going away. Connect again.")
    await hub.subscribe(wanted, subscriber)
    revocation.watch(hub, wanted, subscriber, permit)
    return wanted, subscriber, speaker, permit


def accepted(scope: Mapping[str, Any]) -> dict[str, Any]:
    """The event that lets a WebSocket in. Browsers insist on one of the subprotocols they offer: that is ``eventcast``,
    beside the one that carries a token, which is not to be sent back."""
    if SUBPROTOCOL in scope.get("subprotocols", ()):
        return {"type": "websocket.accept", "subprotocol": SUBPROTOCOL}
    return {"type": "websocket.accept"}


def check_host(scope: Mapping[str, Any]) -> None:
    """Hold a WebSocket to ``ALLOWED_HOSTS``, as Django does with requests: a name of somebody else's that points here
    would give the pages there a way in. Neither Channels nor Daphne look.

    :raises DisallowedHost: its ``Host`` is not among them.
    """
    headers = dict(scope.get("headers") or ())
    forwarded = headers.get(b"x-forwarded-host") if settings.USE_X_FORWARDED_HOST else None
    host = (forwarded or headers.get(b"host", b"")).decode("latin-1")
    # Without DEBUG an empty list allows nobody; with it, this machine: as in django.http.HttpRequest.get_host().
    allowed = settings.ALLOWED_HOSTS or ([".localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else [])
    if host and not validate_host(split_domain_port(host)[0], allowed):
        raise DisallowedHost(f"The Host {host!r:.100} is not in ALLOWED_HOSTS.")


def wanted_by(scope: dict[str, Any], protocol: Any) -> str | Pattern:
    """The channel, or the pattern of channels, that a WebSocket asks for by its request target as the client sent it.

    :raises InvalidChannel: it cannot be a channel's name; ``ReservedChannel``: it is not for channels;
        ``InvalidPattern``, ``InvalidQuery``: it is none that can be listened to.
    """
    target = daphne.request_target(protocol) if protocol is not None else None
    channel = names.channel_from_target(target) if target is not None else names.channel_from_scope(scope)
    # Routers route by scope["path"], which Daphne may have mangled: only what really lies under the mount gets in.
    # And not with slashes before the mount, which Channels' router strips and Django's does not.
    if daphne.without_spoofed_root_path(scope, protocol) is not scope:
        raise ReservedChannel("There is no channel here: this is not the server's root path.")
    mount = scope["path"].removesuffix(scope["path_remaining"]) if "path_remaining" in scope else "/"
    if not channel.startswith(mount) or (mount.startswith("//") and mount.strip("/")):
        raise ReservedChannel(f"There is no channel here: channels begin with {mount}.")
    if channel == mount + patterns.SUBSCRIBE:
        return patterns.from_query(scope["query_string"], mount)
    return names.check_not_reserved(channel, mount)


def note(refusal: Refused, scope: Mapping[str, Any]) -> None:
    """Count a subscriber that was turned down, and write its line in the log."""
    if refusals.count(refusal.code):
        logger.warning(
            "Refused a subscriber: %d %s, path %s, peer %s. %s",
            refusal.status,
            refusal.code,
            names.quoted(scope.get("raw_path") or scope["path"]),
            clients.describe(scope) or "unknown",
            refusal.detail,
        )


async def refuse(refusal: Refused, scope: dict[str, Any], send: Any, protocol: Any) -> None:
    """Turn a handshake down with a status and a code, as far as the server lets us; ASGI alone can say only 403."""
    note(refusal, scope)
    body, headers = refusal.as_json(), refusal.answer_headers()
    if protocol is not None and daphne.refuse(protocol, refusal.status, refusal.code, body, headers):
        return
    if "websocket.http.response" in (scope.get("extensions") or {}):
        fields = [(b"content-type", b"application/json")]
        fields += [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": fields})
        await send({"type": "websocket.http.response.body", "body": body})
        return
    await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": refusal.code})
