"""Runs coroutines for synchronous code, on an event loop in a thread; and runs awaitables in tasks."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class BackgroundLoop:
    """Runs coroutines concurrently on one event loop, in a daemon thread that the first call starts.

    With one loop for each call, the channel layer would open a connection for each message. A forked process starts its
    own thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self.order_lock = asyncio.Lock()
        """For coroutines of this loop that must not overlap."""

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine and return its result. Not for the thread of a running event loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running()).result()

    def start(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine without waiting for it. Coroutines start in the order of the calls."""
        asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._pid, self._loop, self.order_lock = os.getpid(), asyncio.new_event_loop(), asyncio.Lock()
                threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True).start()
            return self._loop


def in_task(awaitable: Awaitable[Result]) -> Awaitable[Result]:
    """Wrap an awaitable in a task if none runs. The server handles requests without tasks, but code of other projects
    may need one, as ``asyncio.timeout()`` does."""
    return awaitable if asyncio.current_task() is not None else asyncio.ensure_future(awaitable)
