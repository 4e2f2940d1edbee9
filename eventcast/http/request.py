"""A request as the door has read it: a Django request that works out its parts when it is asked for them.

Most of what Django makes of a request at once is never looked at by a publish, and costs as much as all that follows.
"""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import unquote

from django.core.handlers.asgi import ASGIRequest
from django.utils.functional import cached_property

from eventcast.conf import setting_of_django
from eventcast.exceptions import Refused


class Request(ASGIRequest):
    """A request, or the handshake of a WebSocket, for the checks, for views and for classes of the site.

    :param target: the request target (RFC 9112 section 3.2) in origin form.
    :param fields: the headers, in the order in which they came.
    :param meta: the headers by the names that CGI gave them.
    :param client: the address and port of the client; None for a Unix socket.
    :param server: the address and port, or the path, that it is connected to.
    :param websocket: whether it is a WebSocket's handshake.
    """

    # What Django looks for on a request, and what its own constructor sets.
    resolver_match = None
    _post_parse_error = _read_started = False
    content = b""
    """The whole body."""

    def __init__(
        self,
        method: str,
        target: bytes,
        fields: list[tuple[str, str]],
        meta: dict[str, str],
        *,
        client: tuple[str, int] | None,
        server: tuple[str, int | None],
        websocket: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self._fields = fields
        self._meta = meta
        self._client = client
        self._server = server
        self._websocket = websocket

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
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self._fields],
            "client": None if self._client is None else [*self._client],
            "server": [*self._server],
        }

    @cached_property
    def script_name(self) -> str:  # type: ignore[override]
        """The prefix that Django takes off a path to find its view."""
        return setting_of_django("FORCE_SCRIPT_NAME", None) or ""

    @cached_property
    def path(self) -> str:  # type: ignore[override]
        """The path, percent-decoded."""
        return unquote(self.target.partition(b"?")[0].decode("latin-1"))

    @cached_property
    def path_info(self) -> str:  # type: ignore[override]
        """The path without the script's name."""
        return self.path.removeprefix(self.script_name) if self.script_name else self.path

    @cached_property
    def META(self) -> dict[str, Any]:  # type: ignore[override]
        """The headers and more, by the names that CGI gave them."""
        meta: dict[str, Any] = {
            **self._meta,
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": self.script_name,
            "QUERY_STRING": self.target.partition(b"?")[2].decode("latin-1"),
            "SERVER_NAME": self._server[0],
            "SERVER_PORT": str(self._server[1] or 0),
        }
        if self._client is not None:
            meta["REMOTE_ADDR"] = self._client[0]
        return meta

    @cached_property
    def content_type(self) -> str | None:  # type: ignore[override]
        """The media type of the body, without parameters."""
        kind = self.META.get("CONTENT_TYPE", "")
        if ";" not in kind:
            return str(kind.strip().lower())
        self._read_content_type()
        return str(self.__dict__["content_type"])

    @cached_property
    def content_params(self) -> dict[str, str]:  # type: ignore[override]
        """The parameters of the body's media type."""
        if ";" not in self._meta.get("CONTENT_TYPE", ""):
            return {}
        self._read_content_type()
        return dict(self.__dict__["content_params"])

    def _read_content_type(self) -> None:
        try:
            self._set_content_type_params(self.META)  # type: ignore[attr-defined]
        except (ValueError, TypeError) as error:  # parameters that contradict each other
            raise Refused("The Content-Type cannot be read: {error!s:.200}.", error=error) from None
