"""Where eventcast is mounted in an ASGI application."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpRequest
from django.urls import re_path

from eventcast.conf import conf
from eventcast.engine import names
from eventcast.engine.hub import current_hub
from eventcast.exceptions import InternalError, Refused, ReservedChannel
from eventcast.http import channels, own_paths
from eventcast.http.answers import Answer, answering, refused
from eventcast.security.origins import check_host
from eventcast.server import daphne
from eventcast.websocket.consumer import EventcastConsumer, refuse

logger = logging.getLogger("eventcast.publish")

websocket_urlpatterns = [re_path(r"^", EventcastConsumer.as_asgi())]
"""For Channels' URLRouter: ``path("live/", URLRouter(eventcast.routing.websocket_urlpatterns))``."""


class EventcastRouter:
    """ASGI application that gives eventcast the WebSockets below a path and everything else to another application.

    :param application: the ASGI application of the rest of the site.
    :param prefix: the mount, with a leading and a trailing slash; the same as in ``urls.py``, with
        ``FORCE_SCRIPT_NAME`` in front of it if there is one. Default: every path.
    :param excluded: paths below the mount that are not channels, such as ``("/admin/", "/static/")``.
    :param consumer: what serves the sockets, for example ``AuthMiddlewareStack(EventcastConsumer.as_asgi())``.
    :param publish_directly: serve publishing straight from here. That takes a fraction of the CPU time of the way
        through Django's handler, which starts and joins a thread for each request. **It skips the site's middleware**,
        ``urls.py`` and the signals ``request_started`` and ``request_finished``; ``ALLOWED_HOSTS`` is still enforced.
        In ``eventcast serve`` streams and questions about a channel are served in the same way then.
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
        self.has_own_consumer = consumer is not None
        self.consumer = EventcastConsumer.as_asgi() if consumer is None else consumer
        self.publish_directly = publish_directly

    def has(self, path: bytes) -> bool:
        """Whether a path, percent-decoded, lies below the mount and is not excluded."""
        return path.startswith(self.prefix) and not path.startswith(self.excluded)

    def is_channel(self, path: bytes) -> bool:
        """Whether a path, percent-decoded, is that of a channel."""
        return self.has(path) and not path[len(self.prefix) :].lstrip(b"/").startswith(b"-/")

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve one connection (ASGI 3)."""
        current_hub()  # From now on this process serves: eventcast.publish looks for subscribers here.
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http" and (path := self._path_of(scope)).startswith(self.prefix):
            reads = scope["method"] in ("GET", "HEAD")
            protocol = daphne.find_protocol(scope, send)
            scope = daphne.without_spoofed_root_path(scope, protocol)
            if reads and (answer := own_paths.health(path[len(self.prefix) :])) is not None:
                await _send(answer, scope, send)
            elif self.publish_directly and _publishes(scope) and self.is_channel(path):
                await self._publish(scope, receive, send)
            else:
                # The protocol is for streams, which are taken over from Daphne.
                await self.application({**scope, "eventcast.protocol": protocol}, receive, send)
        else:
            await self.application(scope, receive, send)

    @staticmethod
    def _path_of(scope: dict[str, Any], protocol: Any = None) -> bytes:
        target = (daphne.request_target(protocol) if protocol is not None else None) or scope.get("raw_path")
        if not target:
            path: str = scope["path"]
            return path.encode()  # Decoded already: a "?" or "%" in it belongs to the name.
        return unquote_to_bytes(target.partition(b"?")[0])

    async def _websocket(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        protocol = daphne.find_protocol(scope, send)
        path = self._path_of(scope, protocol)
        # What is no absolute path is no channel: the consumer says so.
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

    @staticmethod
    async def _publish(scope: dict[str, Any], receive: Any, send: Any) -> None:
        body, limit = io.BytesIO(), conf.MAX_BODY_SIZE
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            # One byte over the limit is enough to refuse it; the rest is not read.
            body.write(event.get("body", b"")[: max(0, limit + 1 - body.tell())])
            if not event.get("more_body") or body.tell() > limit:
                break
        body.seek(0)
        try:
            request = ASGIRequest(scope, body)
            answer = await serve_directly(request)
        except (ValueError, TypeError) as error:
            # A query string that is not UTF-8, or parameters of a Content-Type that contradict each other.
            request = ASGIRequest({**scope, "query_string": b"", "headers": []}, body)
            answer = refused(request, Refused("The request cannot be read: {error!s:.200}.", error=error))
        await _send(answer, scope, send)


@answering
async def serve_directly(request: HttpRequest) -> Any:
    """Serve a request to a channel without Django's handler, middleware and ``urls.py``."""
    try:
        check_host(request)
        return await channels.serve(request, names.channel_from_scope(request.scope))  # type: ignore[attr-defined]
    except Refused:
        raise
    except Exception:
        logger.exception("Serving %s failed.", names.quoted(request.path))
        raise InternalError("An error of the server; it is in its log.") from None


async def _send(answer: Answer, scope: dict[str, Any], send: Any) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    headers.append((b"Content-Length", str(len(answer.content)).encode()))
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.content})


def _publishes(scope: dict[str, Any]) -> bool:
    """Whether a request publishes, or is the question of a browser if one may."""
    method = scope["method"]
    if method == "OPTIONS":
        headers = dict(scope["headers"])
        method = headers.get(b"access-control-request-method", b"").decode("latin-1") if b"origin" in headers else ""
    return method in ("POST", "PUT")
