"""Every URL path is a channel: a WebSocket to the path subscribes to it, an HTTP POST to the path publishes to it."""

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
    "eventcast.engine.presence": ("asubscriber_count", "subscriber_count"),
    "eventcast.engine.publishing": ("apublish", "apublish_many", "publish", "publish_many"),
    "eventcast.listeners.registry": ("heartbeat", "listener"),
    "eventcast.security.authorization.sessions": ("apublish_to", "publish_to"),
    "eventcast.security.authorization.tokens": ("token",),
    "eventcast.security.revocation": ("adisconnect", "disconnect"),
    "eventcast.snapshots": ("snapshot",),
}


def __getattr__(name: str) -> Any:
    # Imported on first use: Django imports this package before its settings and apps are ready.
    for module, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
