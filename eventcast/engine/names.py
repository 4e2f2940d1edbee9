"""How a URL path becomes a channel's name, and a channel's name a channel layer group. Pure functions.

A channel's name is the whole path, percent-decoded, exactly as the client wrote it. The one source of truth is the raw
request target: what servers hand on as the decoded path has lost something (Daphne decodes invalid UTF-8 to U+FFFD, so
that many paths become one; on a WebSocket it also drops ``;b`` from ``/a;b`` and the host from ``//host/b``).
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
"""Stands for all channels at once, as no channel's name can: processes that hear patterns are in its group."""

LONGEST_CACHED = 1024
"""Bytes of the longest request target that is remembered."""

LONGEST_QUOTED = 200
"""Characters of what a client chose that stand in a line of the log."""

RESERVED_PREFIX = "-/"
"""Below the mount, paths that begin so are the server's own and never channels."""


def channel_from_target(target: bytes) -> str:
    """The channel that a raw request target (RFC 9112 section 3.2) names, with or without a query string.

    :raises InvalidChannel: it is not an absolute path, not valid UTF-8, or has a fragment.
    :raises ChannelTooLong: it is longer than ``MAX_CHANNEL_LENGTH``.
    """
    find = _channel_from_target if len(target) < LONGEST_CACHED else _channel_from_target.__wrapped__
    return find(target, conf.MAX_CHANNEL_LENGTH)


@functools.lru_cache(maxsize=4096)
def _channel_from_target(target: bytes, longest: int) -> str:
    """Most requests are for channels of requests before. The limit is one of what the answer depends on."""
    if b"#" in target:
        # No part of a request target (RFC 9112 section 3.2), and Daphne refuses it on a WebSocket.
        raise InvalidChannel("A fragment is not sent to a server. For a '#' in the channel's name write %23.")
    if not target.startswith(b"/"):
        # RFC 9112 section 3.2.1. Decoded first, "%2Fa" would be the channel "/a" of some servers only.
        raise InvalidChannel("A channel is an absolute path that begins with '/', not {target!r:.100}.", target=target)
    try:
        channel = unquote_to_bytes(target.partition(b"?")[0]).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidChannel("The path is not valid UTF-8. Percent-encode the name's UTF-8 bytes.") from None
    return check_channel(channel)


def channel_from_scope(scope: Mapping[str, Any]) -> str:
    """The channel that an ASGI scope's path names; its ``raw_path`` is believed before its ``path``.

    :raises InvalidChannel: as :func:`channel_from_target`; also without a ``raw_path`` if the path holds U+FFFD, which
        is what servers put in place of bytes they could not decode: two different paths must never be one channel.
    """
    raw_path = scope.get("raw_path")
    if raw_path:
        return channel_from_target(raw_path)
    if "\ufffd" in scope["path"]:
        raise InvalidChannel("The path is not valid UTF-8, or the server hides its bytes. Leave out U+FFFD.")
    return check_channel(scope["path"])


def url_path(channel: str) -> str:
    """The path of a URL that means ``channel``, percent-encoded; the opposite of :func:`channel_from_target`.

    Browsers take ``//host`` for another host and resolve ``/a/../b``, proxies make one slash of two: in such paths all
    slashes but the first are encoded, which no browser or proxy touches. Only ``/.`` and ``/..`` are out of a browser's
    reach.
    """
    treacherous = "//" in channel or re.search(r"/\.\.?(/|\Z)", channel)
    return "/" + quote(channel[1:], safe="" if treacherous else "/")


def printable(channel: str) -> str:
    """``channel`` for people's eyes: escapes for what cannot be seen or changes how the text around it reads."""
    if channel.isprintable() and "\\" not in channel:
        return channel
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode() for char in channel
    )


def quoted(text: str | bytes) -> str:
    """What a client chose for a line in the log: in quotes, without line feeds or anything else that a terminal obeys,
    and not over :data:`LONGEST_QUOTED`, because a client may send any number of them."""
    shown = repr(text[:LONGEST_QUOTED])
    return shown if len(shown) <= LONGEST_QUOTED else f"{shown[: LONGEST_QUOTED - 1]}…"


def check_not_reserved(channel: str, mount: str) -> str:
    """Return ``channel`` if it is not among the server's own paths below ``mount``.

    :raises ReservedChannel: it is. Slashes between the two make no difference, as they make none to Channels' router.
    """
    if channel.removeprefix(mount).lstrip("/").startswith(RESERVED_PREFIX):
        raise ReservedChannel("Paths below {mount}-/ are the server's own, not channels.", mount=mount)
    return channel


def check_channel(channel: str) -> str:
    """Return ``channel`` if it can be a channel's name.

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
    """Whether a path has a segment ``.`` or ``..``, which proxies and browsers take out (RFC 3986 section 5.2.4)."""
    return "/." in path and not {".", ".."}.isdisjoint(path.split("/"))


@functools.lru_cache(maxsize=4096)
def group_name(channel: str) -> str:
    """The channel layer group of a channel: legal in every layer, and no two channels share one.

    Layers want fewer than 100 ASCII letters, digits, ``-``, ``_`` and ``.``; paths are longer and have more. Hence a
    hash: for two channels to meet, SHA-256 would have to be broken.
    """
    return f"eventcast.{hashlib.sha256(channel.encode()).hexdigest()}"
