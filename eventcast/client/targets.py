"""What a URL means to a client: the server to connect to, and the path and headers of the request. Pure functions."""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from eventcast.engine.names import has_dot_segment, url_path

_ALLOWED_IN_URLS = string.ascii_letters + string.digits + string.punctuation

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile("[\t\x20-\x7e\x80-\xff]*")


@dataclass(frozen=True)
class Target:
    """The server and the path that a URL names."""

    secure: bool
    """Whether the connection uses TLS."""
    host: str
    """The server's name or address, IPv6 without brackets."""
    port: int
    path: str
    """The path and query as they are sent, ASCII only."""
    headers: dict[str, str]
    """``Authorization`` for the URL's user and password; empty without them."""

    @property
    def mount(self) -> str:
        """The path without a slash at its end, and without the query: the mount, in the URL of a server."""
        return self.path.partition("?")[0].rstrip("/")

    @property
    def authority(self) -> str:
        """Host and port as in a URL, without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def websocket_url(self) -> str:
        """The URL to open a WebSocket to, without user and password."""
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{self.path}"


def parse_url(url: str) -> Target:
    """The target of a URL of http, https, ws or wss: WebSocket and HTTP requests to a channel have the same path.

    The path is kept as it is. Only characters that a URL cannot have, such as a blank, are percent-encoded.

    :raises ValueError: ``url`` is no such URL, or has a fragment.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        host = _host(parts.hostname or "")
        path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_ALLOWED_IN_URLS)
    except ValueError as error:
        reason = "It is not UTF-8." if isinstance(error, UnicodeEncodeError) else error
        raise ValueError(f"Not a URL: {url!r:.200}. {reason}") from None
    if parts.scheme not in ("http", "https", "ws", "wss") or not host:
        raise ValueError(f"Not a URL of http, https, ws or wss, such as http://127.0.0.1:8000/a: {url!r:.200}")
    if "#" in url:
        raise ValueError(f"A fragment is not sent to a server. Write # in a channel's name as %23: {url!r:.200}")
    secure = parts.scheme in ("https", "wss")
    headers = {}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    port = (443 if secure else 80) if port is None else port
    return Target(secure, host, port, path, headers)


def _host(name: str) -> str:
    """The name of a host as DNS has it. Raises ``ValueError`` if it is not a name."""
    if name.isascii():
        if re.search(r"[\0-\x20\x7f]", name):
            raise ValueError("A host's name has no blank in it.")
        return name
    return name.encode("idna").decode()


def channel_path(server: Target, channel: str, event: str = "") -> str:
    """The path of a channel as it is sent, percent-encoded.

    :param channel: the name as for :func:`eventcast.publish`: the whole path, not percent-encoded; without a leading
        slash, the path below the mount, which is the path of the server's URL.
    :param event: the name of the event of a message that is published there; it is in the query.
    :raises ValueError: ``channel`` is not a channel's name.
    """
    if not isinstance(channel, str) or has_dot_segment(f"/{channel}"):
        raise ValueError(f"A channel is a path without a segment '.' or '..', not {channel!r:.100}.")
    _check_is_utf8(channel)
    path = url_path(channel) if channel.startswith("/") else server.mount + url_path(f"/{channel}")
    return f"{path}?event={quote(event, safe='')}" if event else path


def channel_url(server: str, channel: str) -> str:
    """The URL of a channel.

    :param server: a URL of the server, such as ``"http://127.0.0.1:8000/live"``.
    :param channel: the whole path, not percent-encoded; without a leading slash, the path below the server's URL.
    :raises ValueError: ``server`` is not a URL, or ``channel`` is not a channel's name.
    """
    return _root(server) + channel_path(parse_url(server), channel)


def pattern_url(server: str, pattern: str) -> str:
    """The URL to subscribe to a pattern of channels. Each frame then names the channel of its message.

    :param server: a URL of the server with its mount, such as ``"http://127.0.0.1:8000"`` or ``"http://host/live"``.
    :param pattern: such as ``"/orders/<int:id>"``. It matches whole paths, with the mount.
    :raises ValueError: ``server`` is not a URL, or ``pattern`` is not a path.
    """
    if not pattern.startswith("/"):
        raise ValueError(f"A pattern is an absolute path that begins with '/', not {pattern!r:.100}.")
    _check_is_utf8(pattern)
    return f"{_root(server)}{parse_url(server).mount}/-/subscribe?pattern={quote(pattern, safe='')}"


def _root(url: str) -> str:
    """A URL without its path, but with its user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _check_is_utf8(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"A channel's name is UTF-8, and {name!r:.100} is not.") from None


def key_headers(url: str, key: str) -> dict[str, str]:
    """The header that carries a key or token to the server of a URL; none for an empty key."""
    if not key:
        return {}
    # Authorization already carries the URL's user and password, for a proxy in front of the server.
    return {"X-API-Key": key} if "@" in urlsplit(url).netloc else {"Authorization": f"Bearer {key}"}


def check_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """The headers, if all are valid (RFC 9110 section 5). Errors do not show values, because these may be secret.

    :raises ValueError: a name is not a token, or a value has a line feed or characters that are not Latin-1.
    """
    found = dict(headers or {})
    for name, value in found.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"Not the name of a header: {name!r:.100}.")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"The value of the header {name} has characters that are not Latin-1, or a line feed.")
    return found
