"""What a URL says to a client: whom to connect to, and which target to ask for. Pure functions."""

from __future__ import annotations

import base64
import re
import string
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from eventcast.engine.names import url_path

SCHEMES = {"http": False, "https": True, "ws": False, "wss": True}
"""What a URL may begin with, and whether that means TLS."""

_STANDS_IN_A_URL = string.ascii_letters + string.digits + string.punctuation


@dataclass(frozen=True)
class Target:
    """The place that a URL names."""

    secure: bool
    """Whether it is reached over TLS."""
    host: str
    """Name or address, IPv6 without brackets."""
    port: int
    path: str
    """The path and query as they go over the wire, ASCII only."""
    headers: dict[str, str]
    """What the URL's user and password mean in a request: ``Authorization``; empty without them."""

    @property
    def authority(self) -> str:
        """Host and port as in a URL; the port stands there only if it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def websocket_url(self) -> str:
        """The URL to open a WebSocket to, without user and password."""
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{self.path}"


def parse_url(url: str) -> Target:
    """The target of ``url``: http, https, ws or wss, as both sides of a channel have one path.

    The path is taken as it stands, but for what cannot stand in a URL, such as a blank: that is percent-encoded.

    :raises ValueError: it is no such URL, or has a fragment.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        host = _host(parts.hostname or "")
        path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_STANDS_IN_A_URL)
    except ValueError as error:
        reason = "It is not UTF-8." if isinstance(error, UnicodeEncodeError) else error
        raise ValueError(f"Not a URL: {url!r:.200}. {reason}") from None
    if parts.scheme not in SCHEMES or not host:
        raise ValueError(f"Not a URL of http, https, ws or wss, such as http://127.0.0.1:8000/a: {url!r:.200}")
    if "#" in url:
        raise ValueError(f"A fragment is not sent to a server, for a # in the channel's name write %23: {url!r:.200}")
    secure = SCHEMES[parts.scheme]
    headers = {}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    port = (443 if secure else 80) if port is None else port
    return Target(secure, host, port, path, headers)


def _host(name: str) -> str:
    """The name of a host as DNS has it. Raises ``ValueError`` if it is none."""
    if name.isascii():
        if re.search(r"[\0-\x20\x7f]", name):
            raise ValueError("No host's name has a blank in it.")
        return name
    return name.encode("idna").decode()


def channel_url(server: str, channel: str) -> str:
    """The URL of a channel.

    :param server: a URL of the server, such as ``"http://127.0.0.1:8000"``; its path says nothing about channels.
    :param channel: the name as :func:`eventcast.publish` takes it: the whole path, not percent-encoded.
    :raises ValueError: one of them is not what it should be.
    """
    if not channel.startswith("/"):
        raise ValueError(f"A channel is an absolute path that begins with '/', not {channel!r:.100}.")
    _check_is_utf8(channel)
    parse_url(server)
    parts = urlsplit(server)
    return f"{parts.scheme}://{parts.netloc}{url_path(channel)}"


def pattern_url(server: str, pattern: str) -> str:
    """The URL to subscribe to a pattern of channels, whose frames say which channel each message is of.

    :param server: a URL of the server with its mount, such as ``"http://127.0.0.1:8000"`` or ``"http://host/live"``.
    :param pattern: such as ``"/orders/<int:id>"``; of whole paths, the mount included.
    :raises ValueError: one of them is not what it should be.
    """
    if not pattern.startswith("/"):
        raise ValueError(f"A pattern is an absolute path that begins with '/', not {pattern!r:.100}.")
    _check_is_utf8(pattern)
    parse_url(server)
    parts = urlsplit(server)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/-/subscribe?pattern={quote(pattern, safe='')}"


def _check_is_utf8(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"A channel's name is UTF-8, and {name!r:.100} is not.") from None
