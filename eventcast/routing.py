"""Where eventcast is mounted in an ASGI application."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from django.core.exceptions import DisallowedHost as DjangoDisallowedHost
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpResponse
from django.urls import re_path

from eventcast.conf import conf
from eventcast.engine import names
from eventcast.exceptions import DisallowedHost, Refused, ReservedChannel
from eventcast.http import answers, cors, views
from eventcast.server import daphne
from eventcast.websocket import transports
from eventcast.websocket.consumer import EventcastConsumer, refuse

logger = logging.getLogger("eventcast.publish")

websocket_urlpatterns = [re_path(r"^", EventcastConsumer.as_asgi())]
"""For Channels' URLRouter: ``path("live/", URLRouter(eventcast.routing.websocket_urlpatterns))``."""


class EventcastRouter:
    """ASGI application that gives eventcast the WebSockets below a path and everything else to another application.

    :param application: the ASGI application of the rest of the site.
    :param prefix: the mount, with a leading and a trailing slash; the same as in ``urls.py``. Default: every path.
    :param excluded: paths below the mount that are not channels, such as ``("/admin/", "/static/")``.
    :param consumer: what serves the sockets, for example ``AuthMiddlewareStack(EventcastConsumer.as_asgi())``.
    :param publish_directly: call the publish view straight from here. That takes a fifth of the CPU time of the way
        through Django's handler, which starts and joins a thread for each request. **It skips the site's middleware**,
        ``urls.py`` and the signals ``request_started`` and ``request_finished``; ``ALLOWED_HOSTS`` is still enforced.
        Only POST and PUT go this way, and what a browser asks beforehand (CORS), which has to be answered alike.
    """

    def __init__(
        self,
        application: Any,
        *,
        prefix: str = "/",
        excluded: Sequence[str] = (),
        consumer: Any = None,
        publish_directly: bool = False,
    ) -> None:
        if not (prefix.startswith("/") and prefix.endswith("/")):
            raise ValueError(f"prefix begins and ends with a slash, such as '/live/', not {prefix!r}.")
        self.application = application
        self.prefix = prefix.encode()
        self.excluded = tuple(path.encode() for path in excluded)
        self.consumer = EventcastConsumer.as_asgi() if consumer is None else consumer
        self.publish_directly = publish_directly
        transports.announce_at_start()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve one connection (ASGI 3)."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif (
            self.publish_directly
            and scope["type"] == "http"
            and _publishes(scope)
            and self._is_channel(self._path_of(scope))
        ):
            await self._publish(scope, receive, send)
        else:
            if scope["type"] == "http" and self._path_of(scope).startswith(self.prefix):
                protocol = daphne.find_protocol(send, scope.get("client"))
                scope = daphne.without_spoofed_root_path(scope, protocol)
                # For the streams, which have to know how much of them their clients have not read.
                scope = {**scope, "eventcast.protocol": protocol}
            await self.application(scope, receive, send)

    @staticmethod
    def _path_of(scope: dict[str, Any], protocol: Any = None) -> bytes:
        target = (daphne.request_target(protocol) if protocol is not None else None) or scope.get("raw_path")
        if not target:
            path: str = scope["path"]
            return path.encode()  # Decoded already: a "?" or "%" in it belongs to the name.
        return unquote_to_bytes(target.partition(b"?")[0])

    def _is_channel(self, path: bytes) -> bool:
        return (
            path.startswith(self.prefix)
            and not path.startswith(self.excluded)
            and not path[len(self.prefix) :].lstrip(b"/").startswith(b"-/")
        )

    async def _websocket(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        protocol = daphne.find_protocol(send, scope.get("client"))
        path = self._path_of(scope, protocol)
        # What is no absolute path is nobody's: the consumer says so.
        elsewhere = path.startswith(b"/") and not path.startswith(self.prefix)
        if elsewhere and not isinstance(self.application, ASGIHandler):  # Django's own raises for a WebSocket.
            await self.application(scope, receive, send)
        elif elsewhere or path.startswith(self.excluded):
            await receive()
            await refuse(ReservedChannel("There is no channel here."), scope, send, protocol)
        else:
            # A copy whose path is the real one, for whatever stands between here and the consumer.
            scope = daphne.without_spoofed_root_path(scope, protocol)
            text = path.decode(errors="replace")
            remaining = path[len(self.prefix) :].decode(errors="replace")
            scope = {**scope, "path": text, "path_remaining": remaining, "eventcast.protocol": protocol}
            await self.consumer(scope, receive, send)

    async def _publish(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if conf.PUBLISH_RATE or scope.get("root_path"):  # which asks for the address; which a client may have claimed
            protocol = daphne.find_protocol(send, scope.get("client"))
            scope = {**daphne.without_spoofed_root_path(scope, protocol), "eventcast.protocol": protocol}
        body, limit = io.BytesIO(), conf.MAX_BODY_SIZE
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            # One byte over the limit is enough for the view to refuse it; the rest is not read.
            body.write(event.get("body", b"")[: max(0, limit + 1 - body.tell())])
            if not event.get("more_body") or body.tell() > limit:
                break
        body.seek(0)
        try:
            request = ASGIRequest(scope, body)
        except (ValueError, TypeError) as error:
            # A query string that is not UTF-8, a charset with a NUL, parameters of a Content-Type that contradict each
            # other; Django's own handler has a 400 for the first.
            request = ASGIRequest({**scope, "query_string": b"", "headers": []}, body)
            return await self._answer(
                answers.refused(request, Refused(f"The request cannot be read: {error!s:.200}.")), send
            )
        try:
            request.get_host()
            response = cast(HttpResponse, await views.channel(request))  # POST and PUT are never answered by a stream
        except DjangoDisallowedHost as error:
            response = answers.refused(request, DisallowedHost(f"{error!s:.200} (ALLOWED_HOSTS in the settings.)"))
            cors.share(request, response)
        except Exception:
            logger.exception("Publishing to %s failed.", names.quoted(request.path))
            response = answers.refused(request, _InternalError("An error of the server; it is in its log."))
            cors.share(request, response)
        await self._answer(response, send)

    @staticmethod
    async def _answer(response: HttpResponse, send: Any) -> None:
        content = response.content
        headers = [(name.encode(), value.encode("latin-1")) for name, value in response.items()]
        headers.append((b"Content-Length", str(len(content)).encode()))
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def _publishes(scope: dict[str, Any]) -> bool:
    """Whether a request publishes, or is the question of a browser if one may."""
    method = scope["method"]
    if method == "OPTIONS":
        headers = dict(scope["headers"])
        method = headers.get(b"access-control-request-method", b"").decode("latin-1") if b"origin" in headers else ""
    return method in ("POST", "PUT")


class _InternalError(Refused):
    status = 500
    code = "internal_error"
