"""The sockets of one event loop that are read: watched by one epoll object, which the loop watches.

Watched by the loop itself, each socket would take three objects, and each packet two more and five calls.
"""

from __future__ import annotations

import asyncio
import contextvars
import select
from collections.abc import Callable
from typing import Any

MAX_EVENTS = 128
"""Sockets served in one turn of the event loop."""


HAS_EPOLL = hasattr(select, "epoll")


class Readers:
    """What is called when a socket can be read, by the number of its descriptor.

    A socket has to be removed before it is closed. Systems without epoll have the event loop itself watch.
    """

    def __init__(self) -> None:
        self._calls: dict[int, Callable[[], object]] = {}
        self._epoll: Any = None

    def add(self, fd: int, call: Callable[[], object]) -> None:
        """Call a function whenever the socket can be read, in place of the function before."""
        if not HAS_EPOLL:
            asyncio.get_running_loop().add_reader(fd, call)
            return
        if fd not in self._calls:
            if self._epoll is None:
                self._epoll = select.epoll()
                # In an empty context: that of the request which happens to be the first would be kept.
                contextvars.Context().run(asyncio.get_running_loop().add_reader, self._epoll.fileno(), self._poll)
            self._epoll.register(fd, select.EPOLLIN)
        self._calls[fd] = call

    def remove(self, fd: int) -> None:
        """Read the socket no more, if it was read."""
        if not HAS_EPOLL:
            asyncio.get_running_loop().remove_reader(fd)
        elif self._calls.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _poll(self) -> None:
        for fd, _ in self._epoll.poll(0, MAX_EVENTS):
            call = self._calls.get(fd)
            if call is not None:  # and the call before has not removed it
                call()
