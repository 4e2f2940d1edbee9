"""Names of channels: from URL paths, to URL paths, and to channel layer groups. Pure functions.

A channel's name is the whole percent-decoded path. It is read from the raw request target, because the decoded path of
servers is incomplete: Daphne decodes invalid UTF-8 to U+FFFD, so that many paths become one; on a WebSocket it also
drops ``;b`` from ``/a;b`` and the host from ``//host/b``.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from eventcast.conf import conf
from eventcast.exceptions import ChannelTooLong, InvalidChannel, ReservedChannel

ALL = "*"
"""Stands for all channels; no channel can have this name. Processes with subscribers to patterns join its group."""

LONGEST_CACHED = 1024
"""Request targets below this length, in bytes, are cached."""

LONGEST_QUOTED = 200
"""Most characters of a client's text in a line of the log."""

RESERVED_PREFIX = "-/"
"""Paths below the mount that begin with this are the server's own, never channels."""


def channel_from_target(target: bytes) -> str:
    """The channel of a raw request target (RFC 9112 section 3.2), with or without a query string.

    :raises InvalidChannel: the target is not an absolute path, not valid UTF-8, or has a fragment.
    :raises ChannelTooLong: the name is longer than ``MAX_CHANNEL_LENGTH``.
    """
    find = _channel_from_target if len(target) < LONGEST_CACHED else _channel_from_target.__wrapped__
    return find(target, conf.MAX_CHANNEL_LENGTH)


@functools.lru_cache(maxsize=4096)
def _channel_from_target(target: bytes, longest: int) -> str:
    """Cached, because most requests repeat a target. ``longest`` is an argument because the result depends on it."""
    if b"#" in target:
        # A request target has no fragment (RFC 9112 section 3.2), and Daphne refuses one on a WebSocket.
        raise InvalidChannel("A fragment is not sent to a server. For a '#' in the channel's name write %23.")
    if not target.startswith(b"/"):
        # RFC 9112 section 3.2.1. Checked before decoding, because only some servers would read "%2Fa" as "/a".
        raise InvalidChannel("A channel is an absolute path that begins with '/', not {target!r:.100}.", target=target)
    try:
        channel = unquote_to_bytes(target.partition(b"?")[0]).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidChannel("The path is not valid UTF-8. Percent-encode the name's UTF-8 bytes.") from None
    return check_channel(channel)


def channel_from_scope(scope: Mapping[str, Any]) -> str:
    """The channel of an ASGI scope, from its ``raw_path`` if it has one, else from its ``path``.

    :raises InvalidChannel: as :func:`channel_from_target`; also if there is no ``raw_path`` and the path has U+FFFD,
        by which servers replace invalid bytes: two different paths must never be one channel.
    """
    raw_path = scope.get("raw_path")
    if raw_path:
        return channel_from_target(raw_path)
    if "\ufffd" in scope["path"]:
        raise InvalidChannel("The path is not valid UTF-8, or the server hides its bytes. Leave out U+FFFD.")
    return check_channel(scope["path"])


def url_path(channel: str) -> str:
    """The percent-encoded URL path of ``channel``; the reverse of :func:`channel_from_target`.

    Browsers read ``//host`` as another host and resolve ``/a/../b``, and proxies merge slashes. In such paths all
    slashes but the first are encoded, which browsers and proxies do not change. Browsers cannot request ``/.`` and
    ``/..``.
    """
    treacherous = "//" in channel or re.search(r"/\.\.?(/|\Z)", channel)
    return "/" + quote(channel[1:], safe="" if treacherous else "/")


def printable(channel: str) -> str:
    """``channel`` with escapes for characters that are invisible or change how the text around them is displayed."""
    if channel.isprintable() and "\\" not in channel:
        return channel
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode() for char in channel
    )


def quoted(text: str | bytes) -> str:
    """A client's text for a line of the log: in quotes, without control characters, and not longer than
    :data:`LONGEST_QUOTED`, because a client may send many long texts."""
    shown = repr(text[:LONGEST_QUOTED])
    return shown if len(shown) <= LONGEST_QUOTED else f"{shown[: LONGEST_QUOTED - 1]}…"


def check_not_reserved(channel: str, mount: str) -> str:
    """Return ``channel`` if it is not one of the server's own paths below ``mount``.

    :raises ReservedChannel: it is one. Further slashes after the mount are ignored, as Channels' router does.
    """
    if channel.removeprefix(mount).lstrip("/").startswith(RESERVED_PREFIX):
        raise ReservedChannel("Paths below {mount}-/ are the server's own, not channels.", mount=mount)
    return channel


def check_channel(channel: str) -> str:
    """Return ``channel`` if it is a valid name.

    :raises InvalidChannel: it does not begin with ``/``, has a segment ``.`` or ``..``, or UTF-8 cannot encode it.
    :raises ChannelTooLong: it takes more than ``MAX_CHANNEL_LENGTH`` bytes of UTF-8.
    """
    if not isinstance(channel, str) or not channel.startswith("/"):
        raise InvalidChannel(
            "A channel is an absolute path that begins with '/', not {channel!r:.100}.", channel=channel
        )
    if has_dot_segment(channel):
        raise InvalidChannel("A channel has no segment '.' or '..': proxies decide on the path without them.")
    try:
        length = len(channel) if channel.isascii() else len(channel.encode())
    except UnicodeEncodeError:
        raise InvalidChannel("The channel's name holds surrogates, which UTF-8 cannot encode.") from None
    if length > conf.MAX_CHANNEL_LENGTH:
        raise ChannelTooLong(
            "The channel's name takes {length} bytes of UTF-8, {longest} are allowed "
            "(EVENTCAST['MAX_CHANNEL_LENGTH']).",
            length=length,
            longest=conf.MAX_CHANNEL_LENGTH,
        )
    return channel


def has_dot_segment(path: str) -> bool:
    """Whether a path has a segment ``.`` or ``..``, which proxies and browsers remove (RFC 3986 section 5.2.4)."""
    return "/." in path and not {".", ".."}.isdisjoint(path.split("/"))


@functools.lru_cache(maxsize=4096)
def group_name(channel: str) -> str:
    """The channel layer group of a channel: valid in every layer, and unique.

    Layers allow fewer than 100 ASCII letters, digits, ``-``, ``_`` and ``.`` in a name. Paths have more, so the group
    is a SHA-256 hash, for which no collision is known.
    """
    return f"eventcast.{hashlib.sha256(channel.encode()).hexdigest()}"
