"""Every URL path is a channel: a WebSocket to a path listens to it, an HTTP POST to the same path speaks on it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventcast.engine.presence import asubscriber_count, subscriber_count
    from eventcast.engine.publishing import apublish, apublish_many, publish, publish_many
    from eventcast.listeners.registry import heartbeat, listener
    from eventcast.security.authorization.sessions import apublish_to, publish_to
    from eventcast.security.authorization.tokens import token
    from eventcast.security.revocation import adisconnect, disconnect
    from eventcast.snapshots import snapshot

__version__ = "0.1.0"
__all__ = [
    "adisconnect",
    "apublish",
    "apublish_many",
    "apublish_to",
    "asubscriber_count",
    "disconnect",
    "heartbeat",
    "listener",
    "publish",
    "publish_many",
    "publish_to",
    "snapshot",
    "subscriber_count",
    "token",
]

_HOMES = {
    "adisconnect": "eventcast.security.revocation",
    "apublish": "eventcast.engine.publishing",
    "apublish_many": "eventcast.engine.publishing",
    "apublish_to": "eventcast.security.authorization.sessions",
    "asubscriber_count": "eventcast.engine.presence",
    "disconnect": "eventcast.security.revocation",
    "heartbeat": "eventcast.listeners.registry",
    "listener": "eventcast.listeners.registry",
    "publish": "eventcast.engine.publishing",
    "publish_many": "eventcast.engine.publishing",
    "publish_to": "eventcast.security.authorization.sessions",
    "snapshot": "eventcast.snapshots",
    "subscriber_count": "eventcast.engine.presence",
    "token": "eventcast.security.authorization.tokens",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: Django imports this package before its settings and apps are ready.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
