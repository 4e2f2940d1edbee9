"""The workers of one listener, in threads of its own, so that nothing it does stops another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from asgiref.sync import ThreadSensitiveContext
from django.db import connections

from eventcast.engine.names import printable
from eventcast.exceptions import UndecodableMessage
from eventcast.listeners.calls import Call
from eventcast.listeners.counting import Counters, Statistics
from eventcast.listeners.databases import ThreadSensitiveConnections, fresh_connections
from eventcast.listeners.executions import Execution, outside
from eventcast.listeners.queues import CallQueue

if TYPE_CHECKING:
    from eventcast.listeners.registry import Registration

logger = logging.getLogger("eventcast.listen")


class Runner:
    """Makes the calls that are put into it. A subclass for each kind of function.

    :param registration: what is run.
    :param on_finish: called in another thread once it is :attr:`finished`.
    """

    def __init__(self, registration: Registration, on_finish: Callable[[], object] = lambda: None) -> None:
        self.registration = registration
        self.name = registration.name
        self._counters = Counters()
        self._queue = CallQueue(self.name, registration.queue, self._counters)
        self._executions: set[Execution] = set()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._lock = threading.Lock()
        self._on_finish = on_finish

    def start(self) -> None:
        """Start the workers."""
        raise NotImplementedError

    async def put(self, call: Call) -> None:
        """Have a call made when its turn comes; see :class:`CallQueue`. By one coroutine at a time."""
        await self._queue.put(call)

    def close(self) -> None:
        """Nothing more comes: the workers end when they have made the calls that wait."""
        self._queue.close()

    def join(self, timeout: float) -> bool:
        """Wait, for so many seconds at most, until the threads have ended; returns whether they have."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def finished(self) -> bool:
        """Whether it was closed and all calls have been made."""
        return not self._unfinished

    @property
    def statistics(self) -> Statistics:
        return self._counters.statistics

    @property
    def running(self) -> int:
        """Calls that are being made."""
        return len(self._executions)

    @property
    def waiting(self) -> int:
        """Calls that wait for their turn."""
        return len(self._queue)

    def report_slow(self) -> None:
        """Log the calls that take too long, with the place where they are."""
        for execution in list(self._executions):
            if execution.slow():
                logger.warning(
                    "%s has been busy with a call for %s for %.1f s, and is here:\n%s",
                    self.name,
                    printable(execution.call.channel),
                    execution.seconds,
                    execution.stack(),
                )

    def refuse(self, error: UndecodableMessage) -> None:
        """Count and log a message that is not handed over."""
        self._counters.count("undecodable")
        logger.warning("%s: %s", self.name, error)

    def _start_thread(self, target: Callable[[], None], number: int) -> None:
        # A daemon: Python does not wait for it in the end.
        thread = threading.Thread(target=target, name=f"{self.name}-{number}", daemon=True)
        self._threads.append(thread)
        with self._lock:
            self._unfinished += 1
        thread.start()

    def _finish_thread(self) -> None:
        with self._lock:
            self._unfinished -= 1
        if self.finished:
            self._on_finish()

    @contextlib.contextmanager
    def _execution(self, call: Call) -> Iterator[Execution]:
        """Around everything that one call takes: what becomes of it is counted, and ends nothing but itself."""
        execution = Execution(call, self.registration.slow_after)
        self._executions.add(execution)
        try:
            yield execution
        except UndecodableMessage as error:
            self.refuse(error)
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            self._counters.count("failed")
            logger.error(
                "%s failed in a call for %s",
                self.name,
                printable(call.channel),
                exc_info=(type(error), error, outside(error.__traceback__)),
            )
            if call.on_failure is not None:
                call.on_failure()
        finally:
            self._executions.discard(execution)


class ThreadRunner(Runner):
    """Runs a plain function, in as many threads as calls may be made at the same time."""

    def start(self) -> None:
        for number in range(1, self.registration.concurrency + 1):
            self._start_thread(self._work, number)

    def _work(self) -> None:
        try:
            while (call := self._queue.take()) is not None:
                with self._execution(call), fresh_connections():
                    found = call.prepare()
                    if found is not None:
                        args, kwargs = found
                        self.registration.function(*args, **kwargs)
                        self._counters.count("handled")
            connections.close_all()
        finally:
            self._finish_thread()


class LoopRunner(Runner):
    """Runs an ``async def`` function, in one thread with an event loop, so that it may block and stop only itself."""

    def start(self) -> None:
        self._start_thread(lambda: asyncio.run(self._run()), 1)

    async def _run(self) -> None:
        try:
            await asyncio.gather(*(self._work() for _ in range(self.registration.concurrency)))
        finally:
            # What asyncio has to put in order now may hang, but no call does.
            self._finish_thread()

    async def _work(self) -> None:
        # A context for each: what one does with the database does not wait for another.
        async with ThreadSensitiveContext():
            databases = ThreadSensitiveConnections()
            while (call := await self._queue.atake()) is not None:
                with self._execution(call) as execution:
                    async with databases.fresh():
                        found = call.prepare()
                        if found is not None:
                            args, kwargs = found
                            execution.awaited = self.registration.function(*args, **kwargs)
                            await execution.awaited
                            self._counters.count("handled")
            await databases.close_all()


def runner_of(registration: Registration, on_finish: Callable[[], object] = lambda: None) -> Runner:
    """The runner for the kind of its function."""
    kind = LoopRunner if registration.is_async else ThreadRunner
    return kind(registration, on_finish)
