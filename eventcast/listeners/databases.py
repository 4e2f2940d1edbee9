"""Database connections around a call, treated as Django treats them around a request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connections, reset_queries
from django.db.backends.signals import connection_created

_are_used = False
"""Whether a connection was ever made in this process."""


@contextmanager
def fresh_connections() -> Iterator[None]:
    """Close broken and old connections of this thread, before and after a call."""
    _begin()
    try:
        yield
    finally:
        close_old_connections()


@asynccontextmanager
async def async_fresh_connections() -> AsyncIterator[None]:
    """The same for a coroutine: its connections belong to the thread of its ``ThreadSensitiveContext``.

    Most async functions use no database. Switching to that thread and back would cost more than the call, so it is done
    only in a process that has connected.
    """
    if _are_used:
        await sync_to_async(_begin)()
    try:
        yield
    finally:
        if _are_used:
            await sync_to_async(close_old_connections)()


async def async_close_connections() -> None:
    """Close all connections of a coroutine, after its last call."""
    if _are_used:
        await sync_to_async(connections.close_all)()


def _begin() -> None:
    reset_queries()
    close_old_connections()


def _note_connection(**kwargs: Any) -> None:
    global _are_used
    _are_used = True


connection_created.connect(_note_connection)
