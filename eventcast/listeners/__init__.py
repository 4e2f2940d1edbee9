"""Functions that a site has called with the messages of a channel, each in isolation from the others::

    # listeners.py of any installed app
    from eventcast import listener

    @listener("/eventcast/user/<str:key>")
    def mail_the_company(order, key):
        ...

``manage.py eventcast listen`` finds them (:mod:`.discovery`), connects to a server elsewhere, and runs them. What is
registered (:mod:`.registry`, :mod:`.heartbeats`) has a source that turns messages into calls (:mod:`.sources`); these
wait in a queue of its own (:mod:`.queues`) for workers of its own (:mod:`.running`); one :mod:`.supervisor` starts and
ends all.
"""

from eventcast.client.watching import Heartbeat
from eventcast.listeners.discovery import discover
from eventcast.listeners.heartbeats import HeartbeatListener, heartbeat
from eventcast.listeners.registry import Listener, Registration, listener, registry

__all__ = [
    "Heartbeat",
    "HeartbeatListener",
    "Listener",
    "Registration",
    "discover",
    "heartbeat",
    "listener",
    "registry",
]
