"""What the door does with a request: serve it if it is for a channel, or hand the connection to Daphne."""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import unquote_to_bytes

from eventcast.conf import conf
from eventcast.engine import names
from eventcast.engine.patterns import SUBSCRIBE
from eventcast.engine.sockets import SocketSubscriber
from eventcast.exceptions import Refused, ReservedChannel
from eventcast.http import channels, own_paths, pages, streams
from eventcast.http.answers import Answer, View, answering, refusal_answer, refused
from eventcast.http.payloads import body_too_large
from eventcast.http.request import Request
from eventcast.http.wire import answer_head
from eventcast.security import admission, clients
from eventcast.security.hosts import check_host
from eventcast.server.http_connection import HTTPConnection
from eventcast.websocket import handshake


class DoorConnection(HTTPConnection):
    """A connection of the door, until it is closed, becomes a subscriber's or is handed to Daphne."""

    __slots__ = ()

    def begin(self) -> None:
        """The head is complete: find out what the request is for."""
        head, router = self._head, self._door.router
        self._keep_alive = head.keep_alive and not self._door.stopping
        if head.publishes:
            self._publish()
            return
        path = head.target.partition(b"?")[0]
        if b"%" in path:
            path = unquote_to_bytes(path)
        if head.upgrades:
            # Also for Daphne, which hangs up on an odd handshake without a whole answer.
            handshake.check(head.meta, head.method, head.version)
        if router is None or (head.target.startswith(b"/") and not path.startswith(router.prefix)):
            self._hand_over(self._buffer)  # the site's, which may want its uploads
        elif not head.target.startswith(b"/") or not router.has(path):
            self._read_and_hand_over()
        elif head.method in ("GET", "HEAD") and (found := own_paths.health(path[len(router.prefix) :])) is not None:
            self._read_body(lambda body: self._answer(found))
        elif head.upgrades:
            if router.has_own_consumer:
                self._hand_over(self._buffer)
            else:
                self._websocket(router.prefix.decode())
        elif not router.publish_directly:
            self._read_and_hand_over()
        elif router.is_channel(path):
            if head.method in ("POST", "PUT"):
                head.publishes = True
                self._publish()
            else:
                self._listen_or_ask()
        elif path == router.prefix + SUBSCRIBE.encode() and head.method == "GET":
            self._serve(self._request(), _subscribe)
        else:
            self._read_and_hand_over()

    def _request(self, *, websocket: bool = False) -> Request:
        head, client, server = self._head, self._client, self._server
        return Request(
            head.method, head.target, head.fields, head.meta, client=client, server=server, websocket=websocket
        )

    # --- requests to channels ---------------------------------------------------------------------------------------

    def _publish(self) -> None:
        request, length = self._request(), self._head.length
        if length is None or length > len(self._buffer):
            if (length or 0) > conf.MAX_BODY_SIZE:
                raise body_too_large(conf.MAX_BODY_SIZE)
            self._start(self._admit_then_read(request))
            return
        request.content, self._buffer = self._buffer[:length], self._buffer[length:]
        answer = channels.publish_at_once(request, self._head.target)
        if answer is None:
            self._start(self._answer_by(_serve, request))
        else:
            self._answer(answer)

    async def _admit_then_read(self, request: Request) -> None:
        """Check the publisher before its body is read: a stranger's is not worth the memory."""
        admitted: dict[str, Any] = {}

        @answering
        async def admit(request: Any) -> Any:
            check_host(request)
            name = names.channel_from_target(request.target)
            admitted.update(permit=await admission.check_publish(request, name), name=name)
            return Answer()

        answer = await admit(request)
        if not admitted:
            self._answer(answer, close=True)
            return
        self._busy = False
        self._serve(request, answering(functools.partial(channels.publish, **admitted)))
        self._resume()

    def _listen_or_ask(self) -> None:
        request, accept = self._request(), self._head.meta.get("HTTP_ACCEPT", "*/*")
        if accept not in ("*/*", "application/json") and channels.form_of(request) == pages.HTML:
            self._read_and_hand_over()  # a page, with Django's templates
        else:
            self._serve(request, _serve)

    def _serve(self, request: Request, view: View) -> None:
        """Read the body, then answer by a view."""

        def serve(body: bytes) -> None:
            request.content = body
            self._start(self._answer_by(view, request))

        self._read_body(serve)

    async def _answer_by(self, view: View, request: Request) -> None:
        answer = await view(request)
        if isinstance(answer, streams.Stream):
            await self._stream(answer)
        elif isinstance(answer, Answer):
            self._answer(answer)
        else:
            self._hand_over(self._buffer, 0)  # Its body was read.

    async def _stream(self, answer: streams.Stream) -> None:
        chunked = self._head.version == "1.1"
        more = b"Transfer-Encoding: chunked\r\n" if chunked else b""
        head = answer_head(answer, more=more + b"Connection: close\r\n")
        subscriber = streams.SocketStream(self._socket, answer, chunked=chunked)
        try:
            await answer.let_in(subscriber)
        except Refused as refusal:
            self._answer(refused(answer.request, refusal), close=True)
            return
        if self._still_there(subscriber):
            self._log("http", "complete", status=200, size=0)
            subscriber.begin(head)

    def _websocket(self, mount: str) -> None:
        target, _, query = self._head.target.partition(b"?")
        channel = names.channel_from_target(target)
        if mount != "/" and not channel.startswith(mount):
            raise ReservedChannel("There is no channel here: channels begin with {mount}.", mount=mount)
        wanted = handshake.wanted_by(channel, query, mount)
        self._start(self._open_websocket(self._request(websocket=True), wanted))

    async def _open_websocket(self, request: Request, wanted: Any) -> None:
        try:
            admitted = await handshake.admit(request, wanted, handshake.offered(request))
            connection = await handshake.subscribe(self._socket, request, admitted, self._door.rhythm)
        except Refused as refusal:
            handshake.note_refused(refusal, request.target, clients.describe(request.scope))
            self._answer(refusal_answer(refusal), close=True)
            return
        if self._still_there(connection):
            log = None if self._door.log is None else functools.partial(self._log, "websocket")
            handshake.open_connection(connection, request, admitted, self._buffer, log)

    def _still_there(self, subscriber: SocketSubscriber) -> bool:
        """Give the socket to a subscriber, if its client has not left meanwhile."""
        if self._gone:
            self._door.hub.unsubscribe(subscriber)
            return False
        self._give_away(watched=True)
        return True

    # --- the rest ---------------------------------------------------------------------------------------------------

    def _answer(self, answer: Answer, *, close: bool = False) -> None:
        if self._door.log is not None:
            self._log("http", "complete", status=answer.status_code, size=len(answer.content))
        super()._answer(answer, close=close)

    def _log(self, protocol: str, action: str, **details: Any) -> None:
        """Write a line in the access log, if there is one, as Daphne does for its connections."""
        if self._door.log is not None:
            client = f"{self._client[0]}:{self._client[1]}" if self._client else None
            path = self._head.target.decode("latin-1")
            self._door.log(protocol, action, details | {"method": self._head.method, "path": path, "client": client})

    def _read_and_hand_over(self) -> None:
        """Read the body first: Daphne would take one of any size, and wait for it for ever."""
        has_body = self._head.length != 0
        self._read_body(lambda body: self._hand_over(body + self._buffer, len(body) if has_body else None))

    def _hand_over(self, received: bytes, length: int | None = None) -> None:
        """Give the connection to Daphne.

        :param received: what has come after the head.
        :param length: the length of the body, where it was read already.
        """
        if not self._gone:
            self._busy = True
            self._door.hand_over(self._give_away(), self._head.for_daphne(length) + received)


@answering
async def _serve(request: Any) -> Any:
    """Serve a request to a channel whose body is there."""
    check_host(request)
    return await channels.serve(request, names.channel_from_target(request.target))


@answering
async def _subscribe(request: Any) -> Any:
    """Serve a request to listen to the channels of a pattern."""
    check_host(request)
    return await own_paths.subscribe(request)
