"""What the door does with a request: serve it if it is for a channel, or hand the connection to Daphne."""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import unquote_to_bytes

from eventcast.conf import worked_out
from eventcast.engine import names
from eventcast.engine.patterns import SUBSCRIBE
from eventcast.engine.sockets import SocketSubscriber
from eventcast.exceptions import LayerUnavailable, Refused
from eventcast.http import channels, formats, own_paths, pages, streams
from eventcast.http.answers import CLOSE, Answer, View, answering, refusal_answer, refused
from eventcast.http.payloads import check_body_size
from eventcast.http.request import Request
from eventcast.routing import EventcastRouter
from eventcast.security import admission, clients
from eventcast.security.authorization.permits import Permit
from eventcast.security.origins import check_host
from eventcast.server.http_connection import NEVER, HTTPConnection
from eventcast.websocket import handshake

PUBLICATIONS = "eventcast publications"
KNOWN_PUBLICATIONS, LONGEST_KNOWN = 4096, 1024
"""How many checked heads of publish requests are kept, and the longest target of one, in bytes."""

ANSWER_TIMEOUT = 120.0
"""Seconds for Daphne's answer to a client that has closed its sending side. The client may have gone altogether."""


class DoorConnection(HTTPConnection):
    """An HTTP connection, with requests that are served here or by Daphne."""

    __slots__ = ()

    def begin(self) -> None:
        """Serve the request, or give the connection to Daphne."""
        head, router = self._head, self._door.router
        self._keep_alive = head.keep_alive
        told = worked_out(PUBLICATIONS).get((head.known, head.target, router))
        if told is not None and self._publish_at_once(told):
            return
        path = head.target.partition(b"?")[0]
        if b"%" in path:
            path = unquote_to_bytes(path)
        is_path = path.startswith(b"/")
        if head.upgrades:
            # Before Daphne gets it: Daphne closes on an invalid handshake without a complete answer.
            handshake.check(head.meta, head.method, head.version)
        if router is None or (is_path and not path.startswith(router.prefix)):
            self._hand_over(self._buffer)  # with the body unread: the site may accept large uploads
        elif not is_path or path.startswith(router.excluded):
            self._read_and_hand_over()
        elif head.upgrades:
            if router.has_own_consumer:
                self._hand_over(self._buffer)
            else:
                self._websocket(router.prefix.decode())
        elif head.method in ("POST", "PUT") and router.publish_directly and router.is_channel(path):
            self._publish()
        else:
            self._serve_or_hand_over(router, path)

    def _serve_or_hand_over(self, router: EventcastRouter, path: bytes) -> None:
        method, own = self._head.method, path[len(router.prefix) :]
        if method in ("GET", "HEAD") and (found := own_paths.health(own)) is not None:
            self._read_body(lambda body: self._answer(found))
        elif router.publish_directly and router.is_channel(path) and not self._wants_page():
            self._serve(self._request(), _serve)
        elif router.publish_directly and own == SUBSCRIBE.encode() and method == "GET":
            self._serve(self._request(), _subscribe)
        else:
            self._read_and_hand_over()

    def _wants_page(self) -> bool:
        meta = self._head.meta
        plain = meta.get("HTTP_ACCEPT", "*/*") in ("*/*", "application/json")
        return not plain and channels.form_of(meta) == pages.HTML

    def _request(self, *, websocket: bool = False) -> Request:
        return Request(self._head, self._client, self._server, websocket=websocket)

    # --- requests to channels ---------------------------------------------------------------------------------------

    def _publish(self) -> None:
        request, length, buffer = self._request(), self._head.length, self._buffer
        if length is None or length > len(buffer):
            check_body_size(length or 0)
            self._start(_admit(request), functools.partial(self._read_if_admitted, request))
            return
        told = channels.publication(request, self._head.target)
        if told is not None:
            self._remember(told)
            if self._publish_at_once(told):
                return
        request.content, self._buffer = buffer[:length], buffer[length:]
        self._start(_serve(request), self._respond)

    def _remember(self, told: channels.Publication) -> None:
        head, known = self._head, worked_out(PUBLICATIONS)
        if head.known is not None and len(head.target) < LONGEST_KNOWN:
            if len(known) >= KNOWN_PUBLICATIONS:
                known.clear()
            known[head.known, head.target, self._door.router] = told

    def _publish_at_once(self, told: channels.Publication) -> bool:
        """Publish if the body is complete and nothing has to wait. Returns whether it did; if not, nothing changed."""
        length, buffer = self._head.length, self._buffer
        if length is None or length > len(buffer):
            return False
        answer = channels.publish_at_once(told, buffer[:length], self._published)
        if answer is None:
            return False
        self._buffer = buffer[length:]
        if answer is channels.WAITING:
            self._busy, self.deadline = True, NEVER
        else:
            self._published(answer)
        return True

    def _published(self, answer: Answer | LayerUnavailable) -> None:
        self._answer(answer if isinstance(answer, Answer) else refused(self._request(), answer))

    def _read_if_admitted(self, request: Request, admitted: tuple[str, Permit] | Answer) -> None:
        """Read the body, after the publisher was checked: a refused publisher costs no memory."""
        if isinstance(admitted, Answer):
            self._answer(admitted, close=True)
            return
        name, permit = admitted
        self._busy = False
        self._serve(request, answering(functools.partial(channels.publish, name=name, permit=permit)))
        self._resume()

    def _serve(self, request: Request, view: View) -> None:
        """Read the body, then answer by a view."""

        def serve(body: bytes) -> None:
            request.content = body
            self._start(self._served(request, view), self._respond)

        self._read_body(serve)

    async def _served(self, request: Request, view: View) -> Any:
        response = await view(request)
        if not isinstance(response, streams.Stream):
            return response
        stream = streams.SocketStream(self._socket, response, chunked=self._head.version == "1.1")
        try:
            await response.subscribe(stream)
        except Refused as refusal:
            return refused(request, refusal)
        return response, stream

    def _respond(self, response: Any) -> None:
        if isinstance(response, tuple):
            answer, stream = response
            if self._give_socket(stream):
                self._log("http", "complete", status=200, size=0)
                more = b"Transfer-Encoding: chunked\r\n" if self._head.version == "1.1" else b""
                stream.begin(answer.head(more + CLOSE))
        elif isinstance(response, Answer):
            self._answer(response)
        else:
            self._hand_over(self._buffer, 0)  # Its body is left out.

    def _websocket(self, mount: str) -> None:
        target, _, query = self._head.target.partition(b"?")
        wanted = handshake.wanted_by(names.channel_from_target(target), query, mount)
        request = self._request(websocket=True)
        self._start(self._subscribe_websocket(request, wanted), functools.partial(self._open_websocket, request))

    async def _subscribe_websocket(self, request: Request, wanted: Any) -> Any:
        try:
            admitted = await handshake.admit(request, wanted, handshake.offered(request))
            return admitted, await handshake.subscribe(self._socket, request, admitted, self._door.pings)
        except Refused as refusal:
            handshake.note_refused(refusal, request.target, clients.describe(request.scope))
            return refusal_answer(refusal)

    def _open_websocket(self, request: Request, subscribed: Any) -> None:
        if isinstance(subscribed, Answer):
            self._answer(subscribed, close=True)
            return
        admitted, connection = subscribed
        if self._give_socket(connection):
            log = None if self._door.log is None else functools.partial(self._log, "websocket")
            handshake.open_connection(connection, request, admitted, self._buffer, log)

    def _give_socket(self, subscriber: SocketSubscriber) -> bool:
        """Give the socket to a subscriber, if its client has not left meanwhile."""
        if self._gone:
            self._door.hub.unsubscribe(subscriber)
            return False
        self._give_away()
        return True

    # --- the rest ---------------------------------------------------------------------------------------------------

    def _read_and_hand_over(self) -> None:
        """Read the body first: Daphne would take one of any size, and wait for it for ever."""
        has_body = self._head.length != 0
        self._read_body(lambda body: self._hand_over(body + self._buffer, len(body) if has_body else None))

    def _hand_over(self, received: bytes, length: int | None = None) -> None:
        """Give Daphne the connection and the bytes after the head; ``length`` is the size of a body already read."""
        if not self._gone:
            head, self._busy = self._head, True
            # 0 for a subscriber: one that closes its side has left.
            listens = head.upgrades or head.meta.get("HTTP_ACCEPT") in (formats.SSE, formats.NDJSON)
            self._readers.remove(self._socket.fileno())
            self._door.hand_over(
                self._give_away(), head.for_daphne(length) + received, 0 if listens else ANSWER_TIMEOUT
            )


@answering
def _serve(request: Any) -> Any:
    """Serve a request to a channel, after its body was read."""
    check_host(request)
    return channels.serve(request, names.channel_from_target(request.target))


async def _admit(request: Request) -> tuple[str, Permit] | Answer:
    """The channel of a publish request, and the publisher's permit; or the answer that refuses it."""
    try:
        check_host(request)
        name = names.channel_from_target(request.target)
        return name, await admission.check_publish(request, name)
    except Refused as refusal:
        return refused(request, refusal)


@answering
async def _subscribe(request: Any) -> Any:
    """Serve a request to listen to the channels of a pattern."""
    check_host(request)
    return await own_paths.subscribe(request)
