"""The settings ``EVENTCAST = {...}``, with their defaults. They are read at access time."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from django.conf import settings

PASSING_KEY = "new-at-each-start-"
"""The beginning of a ``SECRET_KEY`` that is new at each start: tokens signed with it end with the process."""

OPEN = "eventcast.authorization.Open"
CLOSING = ("KEYS", "SESSIONS", "RULES")
"""Settings of the classes in ``eventcast.authorization``. They have no effect while ``AUTHORIZATION`` is ``Open``."""

Value = TypeVar("Value")

# Django keeps in this dict what was read once, and empties it when settings change. Reading it by the lazy object costs
# ten times as much, and a publish reads a dozen settings.
_read: dict[str, Any] = object.__getattribute__(settings, "__dict__")


def setting_of_django(name: str, default: Any) -> Any:
    """``getattr(settings, name, default)``, in a tenth of its time when the setting was read before."""
    value = _read.get(name, _read)
    return getattr(settings, name, default) if value is _read else value


def worked_out(kind: str) -> dict[Any, Any]:
    """A dict for what was worked out from settings. There is a new one when they have changed.

    :param kind: what is in it, in lower case, as no setting is.
    """
    found: dict[Any, Any] | None = _read.get(kind)
    if found is None:
        found = _read[kind] = {}
    return found


class Setting(Generic[Value]):
    """One setting and its default. Each access reads ``settings.EVENTCAST``, so that ``override_settings`` works.

    :param choices: the valid values, if they are few.
    :param least: the smallest valid value of a whole number.
    """

    def __init__(self, default: Value, *, choices: tuple[Value, ...] = (), least: int = 1) -> None:
        self.default = default
        self.choices: tuple[object, ...] = (True, False) if isinstance(default, bool) else choices
        self.least = least

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Value:
        configured = _read.get("EVENTCAST")
        if configured is None:
            configured = getattr(settings, "EVENTCAST", {})
        value: Value = configured.get(self._name, self.default)
        return value


class Conf:
    """Typed access to ``settings.EVENTCAST``."""

    MAX_CHANNEL_LENGTH = Setting(1024)
    """The longest name of a channel, in bytes of UTF-8."""

    MAX_MESSAGE_SIZE = Setting(1024 * 1024)
    """The largest message, in bytes (text as UTF-8)."""

    MAX_BODY_SIZE = Setting(8 * 1024 * 1024)
    """The largest body of one publish request, in bytes.

    The default has room for a message of the default ``MAX_MESSAGE_SIZE`` with each byte percent-encoded (three
    bytes for one), or for many smaller messages.
    """

    SUBSCRIBER_BUFFER = Setting(1024 * 1024)
    """Bytes kept for a subscriber that reads more slowly than messages arrive."""

    MAX_PENDING_BYTES = Setting(0, least=0)
    """Bytes kept for all subscribers of an event loop together; 0 for a quarter of the memory, at most 512 MiB.

    Past it the subscribers with the most pending are closed first.
    """

    SLOW_SUBSCRIBERS = Setting("close", choices=("close", "drop"))
    """For a subscriber past its ``SUBSCRIBER_BUFFER``: ``"close"`` it (1013), or ``"drop"`` whole messages."""

    MAX_SUBSCRIBERS = Setting(0, least=0)
    """Subscribers of one process, all channels and patterns together; 0 for no limit."""

    MAX_SUBSCRIBERS_PER_CHANNEL = Setting(0, least=0)
    """Subscribers of one channel, or of one pattern, in one process; 0 for no limit."""

    MAX_SUBSCRIBERS_PER_ADDRESS = Setting(0, least=0)
    """Subscribers of one client address in one process; 0 for no limit.

    Off by default: behind a proxy that is not in ``TRUSTED_PROXIES``, all clients have one address.
    """

    MAX_PATTERNS = Setting(1000, least=0)
    """Different subscribed patterns in one process, because each costs memory and time; 0 for no limit."""

    MAX_INBOUND_FRAMES = Setting(200, least=0)
    """Frames in 10 seconds from a WebSocket that does not publish; 0 for no limit."""

    MAX_INBOUND_BYTES = Setting(256 * 1024, least=0)
    """Bytes of such frames in 10 seconds; 0 for no limit."""

    PUBLISH_RATE = Setting(0, least=0)
    """Messages a second from one user or key, or else from one address; 0 for no limit."""

    PUBLISH_BURST = Setting(0, least=0)
    """Messages at once after a pause; 0 for the number that ``PUBLISH_RATE`` allows in 5 seconds."""

    TRUSTED_PROXIES = Setting(list[str]())
    """Proxies with a trusted ``X-Forwarded-For``: addresses, networks, and ``"unix"`` for Unix sockets."""

    HANDSHAKE_TIMEOUT = Setting(30)
    """Seconds for the head of a request or the handshake of a WebSocket; ``eventcast serve`` only.

    Daphne's own 5 seconds are too few when thousands of clients reconnect at once.
    """

    BODY_TIMEOUT = Setting(30)
    """Seconds for the body of a request, and one more for each kilobyte; ``eventcast serve`` only."""

    DRAIN = Setting(5, least=0)
    """Seconds over which subscribers are closed when the server stops; 0 for at once; ``eventcast serve`` only."""

    TRANSPORT = Setting("auto", choices=("auto", "asgi"))
    """``"auto"`` uses the fastest way that the server allows; ``"asgi"`` uses only the ASGI ``send``."""

    CHANNEL_PAGE = Setting(True)
    """Whether a browser that opens a channel's URL gets a page with its messages; otherwise it gets JSON."""

    PATTERN_SUBSCRIPTIONS = Setting(True)
    """Whether clients may subscribe to patterns. With Redis, each published message is then sent twice."""

    AUTHORIZATION = Setting(OPEN)
    """The class that checks permissions: the dotted path of a subclass of ``Authorization``."""

    KEYS = Setting(list[Any]())
    """The keys of ``eventcast.authorization.Keys``: dicts with ``key``, ``name``, ``publish`` and ``subscribe``."""

    SESSIONS = Setting(list[Any]())
    """Rules of ``eventcast.authorization.Sessions``: dicts with ``path``, ``publish`` and ``subscribe``."""

    RULES = Setting(list[Any]())
    """Rules of ``eventcast.authorization.Rules``: pairs of a pattern and the dotted path of a class."""

    RECHECK_INTERVAL = Setting(30)
    """Seconds between two checks of a subscriber's permission."""

    ALLOWED_ORIGINS = Setting(list[str]())
    """Origins with pages that may publish and subscribe, besides this server's own origin.

    An entry is an origin, such as ``"https://app.example"`` or ``"https://app.example:8443"``; all hosts below a
    domain, ``"https://*.example.com"``, or ``"*.example.com"`` for any scheme; ``"null"``; or ``"*"`` for all.
    """

    WEBSOCKET_PUBLISH = Setting(False)
    """Whether messages from a WebSocket are published to its channel; otherwise they are ignored."""

    URL = Setting("http://127.0.0.1:8000")
    """The URL of the server for the client commands and, if it is set, for ``eventcast.publish`` in other processes."""

    KEY = Setting("")
    """The key or token that is sent to ``URL``; empty for none."""

    @property
    def CHANNEL_LAYER(self) -> str:
        """The alias used in ``CHANNEL_LAYERS``: ``"eventcast"`` if it is there, else ``"default"``."""
        return "eventcast" if "eventcast" in setting_of_django("CHANNEL_LAYERS", {}) else "default"


conf = Conf()
SETTINGS = {name: setting for name, setting in vars(Conf).items() if isinstance(setting, Setting)}
"""The settings of ``EVENTCAST``, by name."""


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
