"""The settings ``EVENTCAST = {...}``, with their defaults. They are read at access time."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from django.conf import settings

PASSING_KEY = "new-at-each-start-"
"""The beginning of a ``SECRET_KEY`` that is new at each start: tokens signed with it end with the process."""

OPEN = "eventcast.authorization.Open"
CLOSING = ("KEYS", "SESSIONS", "RULES")
"""Settings of the classes in ``eventcast.authorization``. They have no effect while ``AUTHORIZATION`` is ``Open``."""

Value = TypeVar("Value", bool, int, str, list[Any])


class Conf:
    """Typed access to ``settings.EVENTCAST``. Nothing is cached, so that ``override_settings`` works."""

    @property
    def MAX_CHANNEL_LENGTH(self) -> int:
        """The longest name of a channel, in bytes of UTF-8."""
        return self._get("MAX_CHANNEL_LENGTH", 1024)

    @property
    def MAX_MESSAGE_SIZE(self) -> int:
        """The largest message, in bytes (text as UTF-8)."""
        return self._get("MAX_MESSAGE_SIZE", 1024 * 1024)

    @property
    def MAX_BODY_SIZE(self) -> int:
        """The largest body of one publish request, in bytes.

        The default has room for a message of the default ``MAX_MESSAGE_SIZE`` with each byte percent-encoded (three
        bytes for one), or for many smaller messages.
        """
        return self._get("MAX_BODY_SIZE", 8 * 1024 * 1024)

    @property
    def SUBSCRIBER_BUFFER(self) -> int:
        """Bytes kept for a subscriber that reads more slowly than messages arrive."""
        return self._get("SUBSCRIBER_BUFFER", 1024 * 1024)

    @property
    def SLOW_SUBSCRIBERS(self) -> str:
        """For a subscriber past its ``SUBSCRIBER_BUFFER``: ``"close"`` it (1013), or ``"drop"`` whole messages."""
        return self._get("SLOW_SUBSCRIBERS", "close")

    @property
    def MAX_SUBSCRIBERS(self) -> int:
        """Subscribers of one process, all channels and patterns together; 0 for no limit."""
        return self._get("MAX_SUBSCRIBERS", 0)

    @property
    def MAX_SUBSCRIBERS_PER_CHANNEL(self) -> int:
        """Subscribers of one channel, or of one pattern, in one process; 0 for no limit."""
        return self._get("MAX_SUBSCRIBERS_PER_CHANNEL", 0)

    @property
    def MAX_SUBSCRIBERS_PER_ADDRESS(self) -> int:
        """Subscribers of one client address in one process; 0 for no limit.

        Off by default: behind a proxy that is not in ``TRUSTED_PROXIES``, all clients have one address.
        """
        return self._get("MAX_SUBSCRIBERS_PER_ADDRESS", 0)

    @property
    def MAX_PATTERNS(self) -> int:
        """Different subscribed patterns in one process, because each costs memory and time; 0 for no limit."""
        return self._get("MAX_PATTERNS", 1000)

    @property
    def MAX_INBOUND_FRAMES(self) -> int:
        """Frames in 10 seconds from a WebSocket that does not publish; 0 for no limit."""
        return self._get("MAX_INBOUND_FRAMES", 200)

    @property
    def MAX_INBOUND_BYTES(self) -> int:
        """Bytes of such frames in 10 seconds; 0 for no limit."""
        return self._get("MAX_INBOUND_BYTES", 256 * 1024)

    @property
    def PUBLISH_RATE(self) -> int:
        """Messages a second from one user or key, or else from one address; 0 for no limit."""
        return self._get("PUBLISH_RATE", 0)

    @property
    def PUBLISH_BURST(self) -> int:
        """Messages at once after a pause; 0 for the number that ``PUBLISH_RATE`` allows in 5 seconds."""
        return self._get("PUBLISH_BURST", 0)

    @property
    def TRUSTED_PROXIES(self) -> list[str]:
        """Proxies with a trusted ``X-Forwarded-For``: addresses, networks, and ``"unix"`` for Unix sockets."""
        return self._get("TRUSTED_PROXIES", [])

    @property
    def HANDSHAKE_TIMEOUT(self) -> int:
        """Seconds for the head of a request or the handshake of a WebSocket; ``eventcast serve`` only.

        Daphne's own 5 seconds are too few when thousands of clients reconnect at once.
        """
        return self._get("HANDSHAKE_TIMEOUT", 30)

    @property
    def BODY_TIMEOUT(self) -> int:
        """Seconds for the body of a request, and one more for each kilobyte; ``eventcast serve`` only."""
        return self._get("BODY_TIMEOUT", 30)

    @property
    def TRANSPORT(self) -> str:
        """``"auto"`` uses the fastest way that the server allows; ``"asgi"`` uses only the ASGI ``send``."""
        return self._get("TRANSPORT", "auto")

    @property
    def CHANNEL_PAGE(self) -> bool:
        """Whether a browser that opens a channel's URL gets a page with its messages; otherwise it gets JSON."""
        return self._get("CHANNEL_PAGE", True)

    @property
    def PATTERN_SUBSCRIPTIONS(self) -> bool:
        """Whether clients may subscribe to patterns. With Redis, each published message is then sent twice."""
        return self._get("PATTERN_SUBSCRIPTIONS", True)

    @property
    def AUTHORIZATION(self) -> str:
        """The class that checks permissions: the dotted path of a subclass of ``Authorization``."""
        return self._get("AUTHORIZATION", OPEN)

    @property
    def KEYS(self) -> list[Any]:
        """The keys of ``eventcast.authorization.Keys``: dicts with ``key``, ``name``, ``publish`` and ``subscribe``."""
        return self._get("KEYS", [])

    @property
    def SESSIONS(self) -> list[Any]:
        """Rules of ``eventcast.authorization.Sessions``: dicts with ``path``, ``publish`` and ``subscribe``."""
        return self._get("SESSIONS", [])

    @property
    def RULES(self) -> list[Any]:
        """Rules of ``eventcast.authorization.Rules``: pairs of a pattern and the dotted path of a class."""
        return self._get("RULES", [])

    @property
    def RECHECK_INTERVAL(self) -> int:
        """Seconds between two checks of a subscriber's permission."""
        return self._get("RECHECK_INTERVAL", 30)

    @property
    def ALLOWED_ORIGINS(self) -> list[str]:
        """Origins with pages that may publish and subscribe, besides this server's own origin.

        An entry is an origin, such as ``"https://app.example"`` or ``"https://app.example:8443"``; all hosts below a
        domain, ``"https://*.example.com"``, or ``"*.example.com"`` for any scheme; ``"null"``; or ``"*"`` for all.
        """
        return self._get("ALLOWED_ORIGINS", list[str]())

    @property
    def WEBSOCKET_PUBLISH(self) -> bool:
        """Whether messages from a WebSocket are published to its channel; otherwise they are ignored."""
        return self._get("WEBSOCKET_PUBLISH", False)

    @property
    def URL(self) -> str:
        """The URL of the server for ``manage.py eventcast publish`` and the other client commands."""
        return self._get("URL", "http://127.0.0.1:8000")

    @property
    def CHANNEL_LAYER(self) -> str:
        """The alias used in ``CHANNEL_LAYERS``: ``"eventcast"`` if it is there, else ``"default"``."""
        return "eventcast" if "eventcast" in getattr(settings, "CHANNEL_LAYERS", {}) else "default"

    @staticmethod
    def _get(name: str, default: Value) -> Value:
        value: Value = getattr(settings, "EVENTCAST", {}).get(name, default)
        return value


conf = Conf()


def left_open(configured: Mapping[str, Any]) -> str:
    """The mistake in ``EVENTCAST``, if its settings were to close the server and leave it open; empty without one.

    A misspelt ``AUTHORIZATION`` would stay unnoticed, because an open server works for every client.
    """
    if configured.get("AUTHORIZATION", OPEN) != OPEN:
        return ""
    if slips := [name for name in configured if name != "AUTHORIZATION" and _is_authorization(name)]:
        return f"{slips[0]} is not a setting: AUTHORIZATION is not set, and every client may subscribe and publish."
    if unused := [name for name in CLOSING if name in configured]:
        return f"{unused[0]} has no effect: AUTHORIZATION is {OPEN}, and every client may subscribe and publish."
    return ""


def _is_authorization(name: object) -> bool:
    return isinstance(name, str) and bool(get_close_matches(name.upper(), ["AUTHORIZATION"], cutoff=0.8))
