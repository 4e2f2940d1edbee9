"""All that eventcast knows of the insides of Daphne, Twisted and autobahn stands in this package.

Daphne gives an application nothing but ``receive`` and ``send``; a message through that ``send`` costs some 60 µs, of
which 6 are the kernel's. Under it are autobahn's protocol and Twisted's transport. What is taken from them, and where:

``finding``
    The protocol behind a WebSocket's ``send``, the request behind a response's scope.
``handshakes``
    The raw request target of a WebSocket, which the scope has mangled (``//a/b`` becomes ``/b``, ``/a;b`` ``/a``); the
    peer and the root path, which a client may make the scope lie about; a refusal with its real status, where ASGI's
    ``close`` before ``accept`` is always 403.
``descriptors``
    What Twisted keeps of what it was given to send; an end to a connection that takes nothing.
``twisted``
    Frames of the protocol's own: prepared ones, and close frames with a code and a reason.
``direct``
    The socket itself; and pings that cost less than autobahn's, see ``transports.pulse``.
``overhearing``
    What peers send that only listen, before it is a message.
``mending``
    The same as far as it goes through ASGI: empty messages, close codes, bounds.
``shutdown``
    A place in Twisted's shutdown, to say goodbye to subscribers.

``choosing`` picks a connection's transport, after ``compatibility`` has told whether all that is still there. What
``eventcast serve`` changes in its server is in ``management``.
"""

from eventcast.server.daphne.choosing import transport_for
from eventcast.server.daphne.compatibility import problems, versions
from eventcast.server.daphne.descriptors import abort, descriptor_of, give_up_after, pending
from eventcast.server.daphne.finding import find_protocol, find_request
from eventcast.server.daphne.handshakes import (
    peer_of,
    refuse,
    request_target,
    started_root_path,
    without_spoofed_root_path,
)
from eventcast.server.daphne.mending import gauge, inbox, mended
from eventcast.server.daphne.shutdown import at_shutdown, close_at_shutdown

__all__ = [
    "abort",
    "at_shutdown",
    "close_at_shutdown",
    "descriptor_of",
    "find_protocol",
    "find_request",
    "gauge",
    "give_up_after",
    "inbox",
    "mended",
    "peer_of",
    "pending",
    "problems",
    "refuse",
    "request_target",
    "started_root_path",
    "transport_for",
    "versions",
    "without_spoofed_root_path",
]
