"""Database connections around a call, looked after as Django does around a request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connections, reset_queries
from django.db.backends.signals import connection_created


@contextmanager
def fresh_connections() -> Iterator[None]:
    """For what works with the database in this thread: no connection that is broken or too old, before and after."""
    _begin()
    try:
        yield
    finally:
        close_old_connections()


class ThreadSensitiveConnections:
    """The same for a coroutine, whose work with the database is done in the thread of its ``ThreadSensitiveContext``.

    Made by each worker in its own context. As long as nothing connects in there, that thread is left alone: going to
    it and back costs more than most calls.
    """

    def __init__(self) -> None:
        self.exist = False
        """Whether there may be a connection."""
        _owner.set(self)

    @asynccontextmanager
    async def fresh(self) -> AsyncIterator[None]:
        """Around a call."""
        if self.exist:
            await sync_to_async(_begin)()
        try:
            yield
        finally:
            if self.exist:
                self.exist = await sync_to_async(_end)()

    async def close_all(self) -> None:
        """When there are no more calls."""
        if self.exist:
            await sync_to_async(connections.close_all)()


_owner: ContextVar[ThreadSensitiveConnections | None] = ContextVar("eventcast_connections", default=None)


def _note(**kwargs: Any) -> None:
    # In the thread that connects; the context of whoever waits for it comes along.
    owner = _owner.get()
    if owner is not None:
        owner.exist = True


connection_created.connect(_note)


def _begin() -> None:
    reset_queries()
    close_old_connections()


def _end() -> bool:
    """Close what is old; returns whether something is left open."""
    close_old_connections()
    return any(each.connection is not None for each in connections.all(initialized_only=True))
