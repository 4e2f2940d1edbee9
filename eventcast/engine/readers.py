"""Watches the sockets of one event loop for reading, by one epoll object, which the loop watches.

``loop.add_reader()`` would need three objects for each socket, and two more and five calls for each packet.
"""

from __future__ import annotations

import asyncio
import contextvars
import select
from collections.abc import Callable
from typing import Any

MAX_EVENTS = 128
"""Most sockets that are read in one iteration of the event loop."""


HAS_EPOLL = hasattr(select, "epoll")


class Readers:
    """Calls a function when a socket can be read. Sockets are given by their descriptor's number.

    A socket has to be removed before it is closed. Without epoll, the event loop itself watches the sockets.
    """

    def __init__(self) -> None:
        self._calls: dict[int, Callable[[], object]] = {}
        self._epoll: Any = None

    def add(self, fd: int, call: Callable[[], object]) -> None:
        """Call a function whenever the socket can be read. It replaces an earlier one."""
        if not HAS_EPOLL:
            asyncio.get_running_loop().add_reader(fd, call)
            return
        if fd not in self._calls:
            if self._epoll is None:
                self._epoll = select.epoll()
                # In an empty context: the reader would keep the context of the first request alive.
                contextvars.Context().run(asyncio.get_running_loop().add_reader, self._epoll.fileno(), self._poll)
            self._epoll.register(fd, select.EPOLLIN)
        self._calls[fd] = call

    def remove(self, fd: int) -> None:
        """Stop watching a socket, if it is watched."""
        if not HAS_EPOLL:
            asyncio.get_running_loop().remove_reader(fd)
        elif self._calls.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _poll(self) -> None:
        for fd, _ in self._epoll.poll(0, MAX_EVENTS):
            call = self._calls.get(fd)
            if call is not None:  # and no earlier call has removed it
                call()
