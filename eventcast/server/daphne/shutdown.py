"""A place in Twisted's shutdown: subscribers are told goodbye before their sockets close."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, cast

FLUSH_INTERVAL = 0.01
FLUSH_TIMEOUT = 2.0
"""Seconds that close frames get to leave when the server shuts down."""


def at_shutdown(protocol: Any, goodbye: Callable[[], Any]) -> None:
    """Have ``goodbye`` called when Twisted shuts down (SIGTERM, Ctrl-C), and flush what it wrote before sockets close.

    Daphne itself just drops its sockets, and a client cannot tell that from a broken network. And where a request is
    half received, or a WebSocket was upgraded within the last second, it fails to cancel its applications: tasks that
    are left when Python ends make it crash now and then (3.11.7: segmentation fault in the garbage collector).

    :param protocol: that of any connection or request.
    """
    from twisted.internet import defer, reactor

    def shut_down() -> Any:
        # At once: Daphne has just cancelled its applications, who leave with the event loop's next turn.
        return defer.Deferred.fromFuture(asyncio.ensure_future(flush(goodbye())))

    async def flush(transports: Any) -> None:
        known = [details.get("application_instance") for details in protocol.server.connections.values()]
        left = [task for task in known if task is not None and not task.done()]
        # And those with which Django waits for clients to go: left alone they would end in an exception that nobody
        # takes, and a traceback in the log for every stream.
        left += [task for task in asyncio.all_tasks() if _name_of(task) == "ASGIHandler.listen_for_disconnect"]
        for task in left:
            task.cancel()
        for _ in range(int(FLUSH_TIMEOUT / FLUSH_INTERVAL)):
            await asyncio.sleep(FLUSH_INTERVAL)  # once in any case: streams end by themselves
            if not any(transport.pending for transport in transports) and all(task.done() for task in left):
                break

    cast(Any, reactor).addSystemEventTrigger("before", "shutdown", shut_down)


def close_at_shutdown(protocol: Any, hub: Any) -> None:
    """Have a hub's ``say_goodbye`` called when the server stops; registers each hub once.

    :param protocol: Daphne's, of any connection.
    """
    if hub not in _registered:
        _registered.add(hub)
        at_shutdown(protocol, hub.say_goodbye)


_registered: weakref.WeakSet[Any] = weakref.WeakSet()


def _name_of(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "")
