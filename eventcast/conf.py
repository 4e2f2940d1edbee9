"""The settings: ``EVENTCAST = {...}`` in a project's settings, read at access time, each with its default here."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from django.conf import settings

PASSING_KEY = "new-at-each-start-"
"""Begins a ``SECRET_KEY`` that the next process will not know: nothing signed with it is worth keeping."""

OPEN = "eventcast.authorization.Open"
CLOSING = ("KEYS", "SESSIONS", "RULES")
"""Settings that say who may do what, to the class that ``AUTHORIZATION`` names and to no other."""

Value = TypeVar("Value", bool, int, str, list[Any])


class Conf:
    """Typed access to ``settings.EVENTCAST``; nothing is cached, so ``override_settings`` just works."""

    @property
    def MAX_CHANNEL_LENGTH(self) -> int:
        """Longest channel name, in bytes of UTF-8."""
        return self._get("MAX_CHANNEL_LENGTH", 1024)

    @property
    def MAX_MESSAGE_SIZE(self) -> int:
        """Largest payload of one message, in bytes (text counted as UTF-8)."""
        return self._get("MAX_MESSAGE_SIZE", 1024 * 1024)

    @property
    def MAX_BODY_SIZE(self) -> int:
        """Largest body of one request to publish, in bytes.

        The default leaves room for a message of the default ``MAX_MESSAGE_SIZE`` with every byte percent-encoded
        (three bytes for one), or for many smaller messages.
        """
        return self._get("MAX_BODY_SIZE", 8 * 1024 * 1024)

    @property
    def SUBSCRIBER_BUFFER(self) -> int:
        """Bytes kept for a subscriber that does not take its messages as fast as they come."""
        return self._get("SUBSCRIBER_BUFFER", 1024 * 1024)

    @property
    def SLOW_SUBSCRIBERS(self) -> str:
        """What happens past ``SUBSCRIBER_BUFFER``: ``"close"`` (with 1013) or ``"drop"`` (whole messages)."""
        return self._get("SLOW_SUBSCRIBERS", "close")

    @property
    def MAX_SUBSCRIBERS(self) -> int:
        """Subscribers of one process, all channels and patterns together; 0 for as many as come."""
        return self._get("MAX_SUBSCRIBERS", 0)

    @property
    def MAX_SUBSCRIBERS_PER_CHANNEL(self) -> int:
        """Subscribers of one channel, or by one pattern, in one process; 0 for as many as come."""
        return self._get("MAX_SUBSCRIBERS_PER_CHANNEL", 0)

    @property
    def MAX_SUBSCRIBERS_PER_ADDRESS(self) -> int:
        """Subscribers in one process that come from one client's address; 0 for as many as come.

        Off by default: behind a proxy that ``TRUSTED_PROXIES`` does not name, all come from one address.
        """
        return self._get("MAX_SUBSCRIBERS_PER_ADDRESS", 0)

    @property
    def MAX_PATTERNS(self) -> int:
        """Different patterns that are listened by in one process, for each is memory and work; 0 for any number."""
        return self._get("MAX_PATTERNS", 1000)

    @property
    def MAX_INBOUND_FRAMES(self) -> int:
        """Frames that a WebSocket which only listens may send in 10 seconds; 0 for any number."""
        return self._get("MAX_INBOUND_FRAMES", 200)

    @property
    def MAX_INBOUND_BYTES(self) -> int:
        """Bytes in such frames in 10 seconds; 0 for any number."""
        return self._get("MAX_INBOUND_BYTES", 256 * 1024)

    @property
    def PUBLISH_RATE(self) -> int:
        """Messages that one user or key, or else one address, may publish a second; 0 for any number."""
        return self._get("PUBLISH_RATE", 0)

    @property
    def PUBLISH_BURST(self) -> int:
        """Messages that may come at once after a silence; 0 for as many as ``PUBLISH_RATE`` allows in 5 seconds."""
        return self._get("PUBLISH_BURST", 0)

    @property
    def TRUSTED_PROXIES(self) -> list[str]:
        """Whose ``X-Forwarded-For`` is believed: addresses, networks, and ``"unix"`` for who comes by a Unix socket."""
        return self._get("TRUSTED_PROXIES", [])

    @property
    def HANDSHAKE_TIMEOUT(self) -> int:
        """Seconds that the head of a request, or a WebSocket's handshake, may take; ``eventcast serve`` only.

        Daphne's own 5 are too few when thousands come back at once.
        """
        return self._get("HANDSHAKE_TIMEOUT", 30)

    @property
    def BODY_TIMEOUT(self) -> int:
        """Seconds that the body of a request may take, and one more for each kilobyte; ``eventcast serve`` only."""
        return self._get("BODY_TIMEOUT", 30)

    @property
    def TRANSPORT(self) -> str:
        """``"auto"`` takes the fastest way the server allows; ``"asgi"`` uses nothing but the ASGI ``send``."""
        return self._get("TRANSPORT", "auto")

    @property
    def CHANNEL_PAGE(self) -> bool:
        """Whether a browser that opens a channel's URL gets a page with its messages; without, it gets JSON."""
        return self._get("CHANNEL_PAGE", True)

    @property
    def PATTERN_SUBSCRIPTIONS(self) -> bool:
        """Whether one may subscribe to a pattern of channels. With Redis that makes two messages of each published."""
        return self._get("PATTERN_SUBSCRIPTIONS", True)

    @property
    def AUTHORIZATION(self) -> str:
        """The class that says who may do what: a dotted path, of a subclass of ``eventcast.authorization``'s."""
        return self._get("AUTHORIZATION", OPEN)

    @property
    def KEYS(self) -> list[Any]:
        """The keys of ``eventcast.authorization.Keys``: dicts of key, name, publish and subscribe."""
        return self._get("KEYS", [])

    @property
    def SESSIONS(self) -> list[Any]:
        """What ``eventcast.authorization.Sessions`` asks of users: dicts of path, publish and subscribe."""
        return self._get("SESSIONS", [])

    @property
    def RULES(self) -> list[Any]:
        """Which paths ``eventcast.authorization.Rules`` leaves to whom: pairs of a pattern and a class' dotted path."""
        return self._get("RULES", [])

    @property
    def RECHECK_INTERVAL(self) -> int:
        """Seconds after which it is asked again whether a user who listens may still do so."""
        return self._get("RECHECK_INTERVAL", 30)

    @property
    def ALLOWED_ORIGINS(self) -> list[str]:
        """Whose pages may publish, listen and ask, besides this server's own: see ``eventcast.security.origins``.

        Entries are origins, such as ``"https://app.example"`` or ``"https://app.example:8443"``, all hosts below a
        domain, ``"https://*.example.com"`` or ``"*.example.com"`` for any scheme, ``"null"``, or ``"*"`` for all.
        """
        return self._get("ALLOWED_ORIGINS", list[str]())

    @property
    def WEBSOCKET_PUBLISH(self) -> bool:
        """Whether what a client sends on a WebSocket is published to its channel; without, it is ignored."""
        return self._get("WEBSOCKET_PUBLISH", False)

    @property
    def URL(self) -> str:
        """Where the server is that ``manage.py eventcast publish`` and its like talk to."""
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
    """What is wrong with ``EVENTCAST`` if it was meant to close the server and leaves it open; empty if nothing is.

    A slip in the one name that closes it would be seen by nobody: everything works, for everybody.
    """
    if configured.get("AUTHORIZATION", OPEN) != OPEN:
        return ""
    if slips := [name for name in configured if name != "AUTHORIZATION" and _is_authorization(name)]:
        return f"{slips[0]} means nothing; AUTHORIZATION is not set, and everybody may listen and publish."
    if unused := [name for name in CLOSING if name in configured]:
        return f"{unused[0]} is used by nobody: AUTHORIZATION is {OPEN}, and everybody may listen and publish."
    return ""


def _is_authorization(name: object) -> bool:
    return isinstance(name, str) and bool(get_close_matches(name.upper(), ["AUTHORIZATION"], cutoff=0.8))
