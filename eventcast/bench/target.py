"""Where the server is that is to be measured."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from eventcast.bench.exceptions import BenchError

CONNECT_TIMEOUT = 5.0
"""Seconds for the first connection, which is there to see whether somebody answers."""


@dataclass(frozen=True)
class Target:
    """A server, and the path under which the channels of a run are."""

    url: str
    """As it is shown: scheme, host and port."""
    family: int
    """``socket.AF_INET`` or ``AF_INET6``."""
    address: tuple[Any, ...]
    """What to connect to, as the socket module has it."""
    host: str
    """For the header ``Host``."""
    path: str
    """Percent-encoded."""
    subscribe: str
    """Where one subscribes by a pattern, percent-encoded."""

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self.address[1])

    @property
    def is_here(self) -> bool:
        """Whether the server is on this machine."""
        address = ipaddress.ip_address(str(self.address[0]).partition("%")[0])
        if address.is_loopback:
            return True
        with socket.socket(self.family, socket.SOCK_STREAM) as sock:
            try:
                sock.bind((self.address[0], 0, *self.address[2:]))
            except OSError:
                return False
            return True


def find(url: str, path: str | None, default_path: str) -> Target:
    """The server behind a URL, ``http://host:port`` or ``ws://``, where somebody has to answer.

    :param path: the channel. Default: the URL's path, or ``default_path`` if that is nothing but a slash.
    :param default_path: below the mount.
    :raises BenchError: the URL means nothing, or nobody answers there.
    """
    parts = urlsplit(url if "//" in url else f"//{url}")
    try:
        port = parts.port or 80
    except ValueError as error:
        raise BenchError(f"{url} is not the URL of a server: {error}") from None
    if parts.scheme in ("https", "wss"):
        raise BenchError("TLS is not measured here: give the http:// URL of the server behind the proxy that does it.")
    if parts.scheme not in ("", "http", "ws") or not parts.hostname or parts.query or parts.fragment:
        raise BenchError(f"{url} is not the URL of a server, such as http://127.0.0.1:8000")
    channel = path if path is not None else parts.path if parts.path.strip("/") else default_path
    if not channel.startswith("/"):
        raise BenchError(f"A path begins with a slash: not {channel!r}, but {'/' + channel!r}.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    try:
        with socket.create_connection((parts.hostname, port), CONNECT_TIMEOUT) as sock:
            family, address = sock.family, sock.getpeername()
    except OSError as error:
        raise BenchError(f"Nobody answers at {host}:{port}: {error.strerror or error}") from None
    return Target(
        url=f"http://{host}:{port}",
        family=family,
        address=tuple(address),
        host=host if port == 80 else f"{host}:{port}",
        path=_quoted(channel),
        subscribe=_quoted(default_path.rpartition("/")[0] + "/-/subscribe"),
    )


def _quoted(path: str) -> str:
    return quote(path, safe="/%:;=@!$&'()*+,~-._")
