"""A request as the door has read it: a Django request that works out its parts when it is asked for them.

Most of what Django makes of a request at once is never looked at by a publish, and costs as much as all that follows.
"""

from __future__ import annotations

import functools
import io
from typing import Any
from urllib.parse import unquote

from django.core.handlers.asgi import ASGIRequest
from django.utils.functional import cached_property
from django.utils.http import parse_header_parameters

from eventcast.conf import setting_of_django
from eventcast.exceptions import Refused
from eventcast.http.head import Head


class Request(ASGIRequest):
    """A request, or the handshake of a WebSocket, for the checks, for views and for classes of the site.

    :param client: the address and port of the client; None for a Unix socket.
    :param server: the address and port, or the path, that it is connected to.
    """

    # What Django looks for on a request, and what its own constructor sets.
    resolver_match = None
    _post_parse_error = _read_started = False
    content = b""
    """The whole body."""

    def __init__(
        self, head: Head, client: tuple[str, int] | None, server: tuple[str, int | None], *, websocket: bool = False
    ) -> None:
        self._head = head
        self.method = head.method
        self.target = target = head.target
        self._client = client
        self._server = server
        self._websocket = websocket
        self.META = {
            **head.meta,
            "REQUEST_METHOD": head.method,
            "SCRIPT_NAME": setting_of_django("FORCE_SCRIPT_NAME", None) or "",
            "QUERY_STRING": target.partition(b"?")[2].decode("latin-1") if b"?" in target else "",
            "SERVER_NAME": server[0],
            "SERVER_PORT": str(server[1] or 0),
        }
        if client is not None:
            self.META["REMOTE_ADDR"] = client[0]

    @property
    def peer(self) -> str:
        """The client's address as people read it; empty for a Unix socket."""
        return f"{self._client[0]}:{self._client[1]}" if self._client else ""

    @cached_property
    def _stream(self) -> io.BytesIO:  # type: ignore[override]
        return io.BytesIO(self.content)

    @cached_property
    def scope(self) -> dict[str, Any]:  # type: ignore[override]
        """The ASGI scope that a server would have made."""
        path, _, query = self.target.partition(b"?")
        return {
            "type": "websocket" if self._websocket else "http",
            "method": self.method,
            "scheme": "ws" if self._websocket else "http",
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self._head.fields],
            "client": None if self._client is None else [*self._client],
            "server": [*self._server],
        }

    @cached_property
    def path(self) -> str:  # type: ignore[override]
        """The path, percent-decoded."""
        return unquote(self.target.partition(b"?")[0].decode("latin-1"))

    @cached_property
    def path_info(self) -> str:  # type: ignore[override]
        """The path without the script's name."""
        return self.path.removeprefix(self.META["SCRIPT_NAME"])

    @property
    def script_name(self) -> str:  # type: ignore[override]
        """The prefix that Django takes off a path to find its view."""
        return str(self.META["SCRIPT_NAME"])

    @property
    def content_type(self) -> str | None:  # type: ignore[override]
        """The media type of the body, without parameters."""
        return _media_type(self.META.get("CONTENT_TYPE", ""))[0]

    @property
    def content_params(self) -> dict[str, str]:  # type: ignore[override]
        """The parameters of the body's media type."""
        return _media_type(self.META.get("CONTENT_TYPE", ""))[1]


@functools.lru_cache(maxsize=128)
def _media_type(text: str) -> tuple[str, dict[str, str]]:
    """A media type and its parameters: reading those takes longer than publishing."""
    try:
        return parse_header_parameters(text)
    except (ValueError, TypeError) as error:  # parameters that contradict each other
        raise Refused("The Content-Type cannot be read: {error!s:.200}.", error=error) from None
