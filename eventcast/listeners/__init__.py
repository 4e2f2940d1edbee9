"""Functions of a site that are called with the messages of a channel, each independently of the others::

    # listeners.py of any installed app
    from eventcast import listener

    @listener("/eventcast/user/<str:key>")
    def mail_the_company(order, key):
        ...

``manage.py eventcast listen`` finds them (:mod:`.discovery`), connects to a server, and runs them. Decorators register
a function (:mod:`.registry`). A source turns messages (:mod:`.sources`) or beats (:mod:`.alarms`) into calls. The calls
wait in the listener's own queue (:mod:`.queues`) for its own workers (:mod:`.running`). One :mod:`.supervisor` starts
and ends all of them.
"""

from eventcast.client.watching import Heartbeat
from eventcast.listeners.discovery import discover
from eventcast.listeners.registry import Registration, heartbeat, listener, registry

__all__ = ["Heartbeat", "Registration", "discover", "heartbeat", "listener", "registry"]
