"""The workers of one listener. They have threads of their own, so that a listener never delays another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections, connections, reset_queries
from django.db.backends.signals import connection_created

from eventcast.engine.figures import ThreadSafeCounter
from eventcast.engine.names import printable
from eventcast.exceptions import UndecodableMessage
from eventcast.listeners.queues import Call, CallQueue
from eventcast.listeners.registry import Registration

logger = logging.getLogger("eventcast.listen")

_databases_are_used = False
"""Whether a database connection was ever made in this process.

Most async functions use no database. Switching to its thread and back would cost more than the call, so it is done only
in a process that has connected.
"""


class Execution:
    """A call that is running in this thread.

    :param slow_after: seconds after which the call is slow.
    """

    def __init__(self, call: Call, slow_after: float) -> None:
        self.channel = call.channel
        self.coroutine: Any = None
        """That of an ``async def`` function."""
        self.began = time.monotonic()
        self.slow_after = slow_after
        self._thread = threading.get_ident()

    def place(self) -> str:
        """The lines where the call is now, as in a traceback; of a coroutine that waits, the function's own line."""
        frame = getattr(self.coroutine, "cr_frame", None) or sys._current_frames().get(self._thread)
        return "".join(traceback.format_stack(frame)).rstrip() if frame else ""


class Runner:
    """Makes the calls of one listener, one after the other from its queue.

    A plain function runs in as many threads as calls may run at the same time. An ``async def`` function runs in one
    thread with an event loop of its own: a function that blocks its loop stops only itself. When the queue is closed,
    the workers end after the calls that wait.
    """

    def __init__(self, registration: Registration) -> None:
        self.registration = registration
        self.name = registration.name
        self.queue = CallQueue(self.name, registration.queue)
        self.executions: set[Execution] = set()
        """The calls that run."""
        self.finished: Future[None] = Future()
        """Ends when the queue was closed and all calls were made."""
        self.statistics = {
            "handled": ThreadSafeCounter(),  # calls that returned
            "failed": ThreadSafeCounter(),  # calls that raised
            "dropped": self.queue.dropped,
            "undecodable": ThreadSafeCounter(),  # messages that are not JSON, for which the function was not called
        }
        work: Callable[[], None] = self._work
        count = registration.concurrency
        if registration.is_async:
            work, count = self._run_event_loop, 1
        self._working = count
        # Daemons: Python does not wait for these threads when the process ends.
        self._threads = [
            threading.Thread(target=work, name=f"{self.name}-{n}", daemon=True) for n in range(1, count + 1)
        ]
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the workers."""
        for thread in self._threads:
            thread.start()

    def join(self, timeout: float) -> bool:
        """Wait until the threads have ended, ``timeout`` seconds at most; returns whether they have."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def report_slow(self) -> None:
        """Log the calls that take too long, and where they are; each again when it has taken twice as long."""
        for execution in list(self.executions):
            seconds = time.monotonic() - execution.began
            if seconds >= execution.slow_after:
                execution.slow_after = 2 * seconds
                channel, place = printable(execution.channel), execution.place()
                text = "%s: a call for %s has taken %.1f s, and is here:\n%s"
                logger.warning(text, self.name, channel, seconds, place)

    def refuse(self, error: UndecodableMessage) -> None:
        """Count and log a message that the function does not get."""
        self.statistics["undecodable"].add(1)
        logger.warning("%s: %s", self.name, error)

    @contextlib.contextmanager
    def _execution(self, call: Call) -> Iterator[Execution]:
        """Run the body for one call: log and count its errors, and go on after them."""
        execution = Execution(call, self.registration.slow_after)
        self.executions.add(execution)
        try:
            yield execution
        except UndecodableMessage as error:
            self.refuse(error)
        except (Exception, SystemExit, asyncio.CancelledError):
            self.statistics["failed"].add(1)
            logger.exception("%s: a call for %s failed", self.name, printable(call.channel))
            if call.on_failure is not None:
                call.on_failure()
        finally:
            self.executions.discard(execution)

    def _finish_worker(self) -> None:
        with self._lock:
            self._working -= 1
            finished = not self._working
        if finished:
            self.finished.set_result(None)

    def _work(self) -> None:
        """Call a plain function, until the queue is closed and empty."""
        try:
            while (call := self.queue.take()) is not None:
                with self._execution(call):
                    _freshen_connections()
                    try:
                        if (found := self.registration.arguments(call.channel, call.data)) is not None:
                            self.registration.function(*found[0], **found[1])
                            self.statistics["handled"].add(1)
                    finally:
                        close_old_connections()
            connections.close_all()
        finally:
            self._finish_worker()

    def _run_event_loop(self) -> None:
        """Call an ``async def`` function, until the queue is closed and empty."""

        async def run() -> None:
            try:
                await asyncio.gather(*(self._work_async() for _ in range(self.registration.concurrency)))
            finally:
                # asyncio.run() still waits for threads that the function may have left behind; no call needs that.
                self._finish_worker()

        asyncio.run(run())

    async def _work_async(self) -> None:
        # A context for each worker, so that its work with the database does not wait for another's.
        async with ThreadSensitiveContext():
            while (call := await self.queue.atake()) is not None:
                with self._execution(call) as execution:
                    await _in_database_thread(_freshen_connections)
                    try:
                        if (found := self.registration.arguments(call.channel, call.data)) is not None:
                            execution.coroutine = self.registration.function(*found[0], **found[1])
                            await execution.coroutine
                            self.statistics["handled"].add(1)
                    finally:
                        await _in_database_thread(close_old_connections)
            await _in_database_thread(connections.close_all)


def _freshen_connections() -> None:
    """Treat the connections of this thread as Django does at the beginning of a request."""
    reset_queries()
    close_old_connections()


async def _in_database_thread(function: Callable[[], None]) -> None:
    """Call a function in the thread that has the connections of this coroutine, if there may be any."""
    if _databases_are_used:
        await sync_to_async(function)()


def _note_connection(**kwargs: Any) -> None:
    global _databases_are_used
    _databases_are_used = True


connection_created.connect(_note_connection)
