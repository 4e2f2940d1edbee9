"""Runs several listeners in one process: connects them to the server, and ends them on a signal."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from eventcast.client.answers import sentence
from eventcast.client.watching import until_one_ends
from eventcast.exceptions import Refused
from eventcast.listeners.registry import Registration
from eventcast.listeners.running import Runner

LOOK = 1.0
"""Seconds between two searches for slow calls, at most."""

CLEANING = 1.0
"""Seconds that the threads may take to end after their last call."""

logger = logging.getLogger("eventcast.listen")

Source = Callable[[Runner], Awaitable[None]]
"""A coroutine that gives calls to a runner until it is cancelled."""


class Outcome(NamedTuple):
    """The result of :meth:`Supervisor.run`."""

    stopped: bool
    """Whether :meth:`Supervisor.stop` ended the run. If not, the sources ended by themselves."""
    abandoned: bool
    """Whether some calls were still running or waiting at the end."""
    hanging: bool
    """Whether some threads did not end in time."""
    ended: tuple[str, ...] = ()
    """The names of the listeners that ended by themselves: the server refused them, or their source failed."""


class Supervisor:
    """Runs the listeners, each independently. The source of a listener is a task of this event loop; a :class:`Runner`
    makes its calls in other threads.

    Make it inside the event loop that runs it.

    :param source: gives each runner its calls.
    :param grace: seconds that running and waiting calls may take after :meth:`stop`.
    :param fail_fast: whether all listeners end when one ends by itself.
    """

    def __init__(
        self, registrations: Sequence[Registration], source: Source, *, grace: float, fail_fast: bool = False
    ) -> None:
        self._source = source
        self._grace = grace
        self._enough = asyncio.FIRST_COMPLETED if fail_fast else asyncio.ALL_COMPLETED
        self._ended: dict[str, str] = {}
        self._stopping, self._hurrying = asyncio.Event(), asyncio.Event()
        self._runners = [Runner(registration) for registration in registrations]

    def stop(self) -> None:
        """Read no more messages, and end when all calls are made. A second call of this method ends the run at once."""
        if self._stopping.is_set():
            self._hurrying.set()
        self._stopping.set()

    async def run(self) -> Outcome:
        """Run until :meth:`stop` is called or all sources have ended; with ``fail_fast``, until one has ended."""
        for runner in self._runners:
            runner.start()
        sources = [asyncio.create_task(self._supply(runner)) for runner in self._runners]
        looking = asyncio.create_task(self._look_for_slow_calls())
        await until_one_ends(self._stopping.wait(), asyncio.wait(sources, return_when=self._enough))
        stopped = self._stopping.is_set()
        logger.info("Reading has stopped. Calls that run or wait have %g s to end.", self._grace)
        await until_one_ends(self._drain(sources), self._hurrying.wait(), asyncio.sleep(self._grace))
        looking.cancel()
        return self._outcome(stopped)

    async def _supply(self, runner: Runner) -> None:
        """Run the source of one listener. When it fails, the others go on."""
        try:
            await self._source(runner)
        except Refused as error:
            self._ended[runner.name] = f"{error.status} {error.code}"
            text = "%s: the server refuses it: %d %s. %s"
            logger.error(text, runner.name, error.status, error.code, sentence(error.detail))
        except Exception as error:
            self._ended[runner.name] = type(error).__name__
            logger.exception("%s: its source failed", runner.name)

    async def _look_for_slow_calls(self) -> None:
        interval = min(LOOK, *(runner.registration.slow_after / 4 for runner in self._runners))
        while True:
            await asyncio.sleep(interval)
            for runner in self._runners:
                runner.report_slow()

    async def _drain(self, sources: Sequence[asyncio.Task[None]]) -> None:
        """Cancel the sources, and wait until all calls are made."""
        for source in sources:
            source.cancel()
        await asyncio.wait(sources)
        for runner in self._runners:
            runner.queue.close()
        await asyncio.wait([asyncio.wrap_future(runner.finished) for runner in self._runners])

    def _outcome(self, stopped: bool) -> Outcome:
        left = [runner for runner in self._runners if not runner.finished.done()]
        for runner in left:
            running, waiting = len(runner.executions), len(runner.queue)
            logger.error("%s is abandoned: calls running: %d, waiting: %d", runner.name, running, waiting)
        for runner in self._runners:
            figures = ", ".join(f"{tally.value} {name}" for name, tally in runner.statistics.items())
            logger.info("%s: %s", runner.name, figures)
        if self._ended:
            ended = ", ".join(f"{name} ({reason})" for name, reason in self._ended.items())
            logger.error("Refused, or failed: %s", ended)
        deadline = time.monotonic() + (0.0 if left else CLEANING)
        joined = [runner.join(deadline - time.monotonic()) for runner in self._runners]
        return Outcome(stopped, abandoned=bool(left), hanging=not all(joined), ended=tuple(self._ended))
