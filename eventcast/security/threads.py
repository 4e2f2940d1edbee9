"""The threads in which authorizations may wait, for a database or anything else."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from asgiref.sync import AsyncToSync, sync_to_async
from django.db import connections

Result = TypeVar("Result")

THREADS = 16
"""Each may hold a database connection, so there must not be one per handshake."""


async def in_thread(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function that may wait, in one of :data:`THREADS` threads. Its database connections are closed then.

    If a thread waits for this coroutine (``async_to_sync``: WSGI, synchronous middleware, tests), the function runs in
    that thread instead, and so in its database transaction.
    """
    if getattr(AsyncToSync.executors, "current", None) is not None:
        return await sync_to_async(function)(*arguments)
    return cast(Result, await _in_pool(function, *arguments))


def _call(function: Callable[..., Result], *arguments: Any) -> Result:
    try:
        return function(*arguments)
    finally:
        # Whatever CONN_MAX_AGE says: it is about threads that are in use, and these may be idle for days.
        connections.close_all()


_in_pool = sync_to_async(
    _call, thread_sensitive=False, executor=ThreadPoolExecutor(THREADS, thread_name_prefix="eventcast-authorization")
)
