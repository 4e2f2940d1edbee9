"""The threads in which authorizations may wait, for a database or anything else."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from asgiref.sync import AsyncToSync, sync_to_async
from django.db import connections

Result = TypeVar("Result")

THREADS = 16
"""Each may hold a database connection, so there must not be one per handshake."""

_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="eventcast-authorization")


async def in_thread(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function that may wait, in one of :data:`THREADS` threads. Its database connections are closed then.

    If a thread waits for this coroutine (``async_to_sync``: WSGI, synchronous middleware, tests), the function runs in
    that thread instead, and so in its database transaction.
    """
    if getattr(AsyncToSync.executors, "current", None) is not None:
        return await sync_to_async(function)(*arguments)

    def call() -> Result:
        try:
            return function(*arguments)
        finally:
            # Whatever CONN_MAX_AGE says: it is about threads that are in use, and these may be idle for days.
            connections.close_all()

    return await sync_to_async(call, thread_sensitive=False, executor=_pool)()
