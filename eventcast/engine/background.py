"""Where coroutines of others run: in tasks, and on an event loop in a thread of its own, where synchronous code has to
wait for them."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class BackgroundLoop:
    """Runs coroutines one beside the other on one event loop, in a daemon thread that begins with the first of them.

    A loop for each call would open a connection of the channel layer for each message. A process that was forked gets a
    thread of its own.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self.order_lock = asyncio.Lock()
        """For coroutines of this loop that have to run one after the other."""

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Wait for a coroutine's result, or its exception. Not for the thread of a running event loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running()).result()

    def start(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine without waiting for it. What is started here runs up to its first wait in that order."""
        asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._pid, self._loop, self.order_lock = os.getpid(), asyncio.new_event_loop(), asyncio.Lock()
                threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True).start()
            return self._loop


def in_task(awaitable: Awaitable[Result]) -> Awaitable[Result]:
    """The same, in a task of its own if none runs. The door serves requests without tasks, and code of others may ask
    for its task, as ``asyncio.timeout()`` does."""
    return awaitable if asyncio.current_task() is not None else asyncio.ensure_future(awaitable)
