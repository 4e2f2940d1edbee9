"""The WebSocket side for ASGI servers: a client that opens a socket to a path listens to that channel, or by a pattern.

After the client has subscribed, plain Daphne gives the connection away and the consumer ends: see ``server.daphne``.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from channels.consumer import AsyncConsumer
from django.http import HttpRequest

from eventcast.conf import conf
from eventcast.engine import names
from eventcast.engine.closing import POLICY_VIOLATION
from eventcast.engine.hub import current_hub
from eventcast.engine.patterns import Pattern
from eventcast.exceptions import Refused, ReservedChannel
from eventcast.http.answers import CLOSE, refusal_answer
from eventcast.security import admission, clients
from eventcast.security.throttling import Inbound
from eventcast.server import daphne
from eventcast.websocket import handshake, v1
from eventcast.websocket.asgi import ASGIWebSocket, Send
from eventcast.websocket.speaking import Speaker


class EventcastConsumer(AsyncConsumer):
    """The catch-all consumer: mount it with ``EventcastConsumer.as_asgi()``, or see ``eventcast.routing``.

    It is a Channels consumer from outside, but does not use Channels' dispatch: that costs every connection a layer
    channel of its own and two tasks, and every event a hop to the process's one database thread, so that a slow query
    anywhere would hold up all messages. What comes from the layer comes through the hub, once for all subscribers.
    """

    channel_layer_alias = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve one connection (ASGI WebSocket), until it is over or taken over."""
        if "eventcast.protocol" not in scope:
            scope = {**scope, "eventcast.protocol": daphne.find_protocol(scope, send)}
        protocol = scope["eventcast.protocol"]
        await receive()  # websocket.connect
        daphne.hold_back(protocol)  # Bytes that arrive before the client has subscribed stay in the kernel.
        daphne.close_at_shutdown(protocol, current_hub())
        try:
            wanted = wanted_by(scope, protocol)
            request = admission.request_of_websocket(scope)
            admitted = await handshake.admit(request, wanted, scope.get("subprotocols", ()))
            taken = None if protocol is None or conf.TRANSPORT != "auto" else daphne.take_over(protocol)
            if taken is not None:
                await _continue_on_own_socket(taken, request, admitted)
                return
            if protocol is not None:
                send = daphne.mended(send, protocol)
            subscriber = subscriber_of(admitted, send)
            await admitted.subscribe(subscriber, request)
        except Refused as refusal:
            await refuse(refusal, scope, send, protocol)
            return
        # From here on a finally: Channels' disconnect() is not called for consumers that raise or are cancelled.
        try:
            daphne.read_on(protocol)
            await send({"type": "websocket.accept", "subprotocol": admitted.subprotocol or None})
            subscriber.open()
            await _listen(subscriber, receive, admitted.speaker, protocol)
        except asyncio.CancelledError:
            if not subscriber.closed:
                raise
            await subscriber.finish()
        finally:
            subscriber.release()
            current_hub().unsubscribe(subscriber)


async def _continue_on_own_socket(taken: daphne.TakenOver, request: HttpRequest, admitted: handshake.Admitted) -> None:
    pings = current_hub().keepalive.schedule(*taken.ping_times)
    try:
        connection = await handshake.subscribe(taken.sock, request, admitted, pings)
    except Refused as refusal:
        handshake.note_refused(refusal, request.path, admitted.described["peer"])
        with taken.sock, contextlib.suppress(OSError):
            taken.sock.send(refusal_answer(refusal).as_bytes(CLOSE))
    else:
        handshake.open_connection(connection, request, admitted, taken.received, taken.log)


async def _listen(subscriber: ASGIWebSocket, receive: Any, speaker: Speaker | None, protocol: Any) -> None:
    """Take what the client sends, until it is gone."""
    inbound = Inbound()
    while (event := await receive())["type"] != "websocket.disconnect":
        text = event.get("text")
        data = event.get("bytes") if text is None else text
        if subscriber.closed:
            continue  # Its close frame is about to leave.
        if speaker is None:
            inbound.count(subscriber, 1, len(data or ""))
            continue
        daphne.hold_back(protocol)  # Daphne would keep all that comes meanwhile.
        await speaker.say(data, subscriber)
        daphne.read_on(protocol)


def subscriber_of(admitted: handshake.Admitted, send: Send) -> ASGIWebSocket:
    """The subscriber of a client that may subscribe."""
    if admitted.subprotocol == v1.SUBPROTOCOL:
        publish = admitted.speaker is not None
        expires_at = admitted.permit.expires_at
        return v1.V1ASGIWebSocket(send, admitted.wanted, expires_at, publish=publish, **admitted.described)
    return ASGIWebSocket(send, **admitted.described)


def wanted_by(scope: dict[str, Any], protocol: Any) -> str | Pattern:
    """The channel, or the pattern, that a WebSocket asks for by its request target as the client sent it."""
    target = daphne.request_target(protocol)
    channel = names.channel_from_target(target) if target is not None else names.channel_from_scope(scope)
    # Routers route by scope["path"], which Daphne may have mangled: only what really lies under the mount gets in.
    # And not with slashes before the mount, which Channels' router strips and Django's does not.
    if daphne.without_spoofed_root_path(scope, protocol) is not scope:
        raise ReservedChannel("There is no channel here: this is not the server's root path.")
    mount = scope["path"].removesuffix(scope["path_remaining"]) if "path_remaining" in scope else "/"
    if not channel.startswith(mount) or (mount.startswith("//") and mount.strip("/")):
        raise ReservedChannel("There is no channel here: channels begin with {mount}.", mount=mount)
    return handshake.wanted_by(channel, scope.get("query_string") or b"", mount)


async def refuse(refusal: Refused, scope: dict[str, Any], send: Any, protocol: Any) -> None:
    """Turn a handshake down with a status and a code, as far as the server lets us; ASGI alone can say only 403."""
    handshake.note_refused(refusal, scope.get("raw_path") or scope["path"], clients.describe(scope))
    answer = refusal_answer(refusal)
    if protocol is not None and daphne.refuse(protocol, refusal.code, answer.as_bytes(CLOSE)):
        return
    if "websocket.http.response" in (scope.get("extensions") or {}):
        fields = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": fields})
        await send({"type": "websocket.http.response.body", "body": answer.content})
        return
    await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": refusal.code})
