"""All that eventcast knows of the insides of Daphne, Twisted and autobahn stands in this package.

Three things are done with them:

- **Take over**: under plain ``daphne`` a connection is taken from them once its handshake, or the head of its response,
  is written. From then on it is a connection of our own, like those of ``eventcast serve``.
- **Hand over**: ``eventcast serve`` hands them the connections that are not for a channel, with the bytes read so far.
- **Ask**: for the raw request target (the scope's path has lost something: ``//a/b`` is ``/b``), the other end of the
  connection and the root path (a client may make the scope lie about both), and for a place in their shutdown.

Where :func:`problems` finds that they are built otherwise, all connections are served by plain ASGI.
"""

from eventcast.server.daphne.behind import behind_the_door
from eventcast.server.daphne.finding import (
    find_protocol,
    find_request,
    is_running,
    peer_of,
    request_target,
    without_spoofed_root_path,
)
from eventcast.server.daphne.sending import abort, mended, wait_until_taken
from eventcast.server.daphne.taking import (
    TakenOver,
    close_at_shutdown,
    hold_back,
    ping_times,
    problems,
    read_on,
    refuse,
    take_over,
)

__all__ = [
    "TakenOver",
    "abort",
    "behind_the_door",
    "close_at_shutdown",
    "find_protocol",
    "find_request",
    "hold_back",
    "is_running",
    "mended",
    "peer_of",
    "ping_times",
    "problems",
    "read_on",
    "refuse",
    "request_target",
    "take_over",
    "wait_until_taken",
    "without_spoofed_root_path",
]
