"""Runs what is registered, from the first connection to the last call."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from eventcast.exceptions import Refused
from eventcast.listeners.registry import Registration
from eventcast.listeners.running import Runner, runner_of
from eventcast.listeners.sources import Server

LOOK = 1.0
"""Seconds between two looks for slow calls, at most."""

CLEANING = 1.0
"""Seconds that threads have to end after their last call."""

MOUNT = " Does the URL name the mount, such as http://host/live?"
"""What to look at first where a server has nothing at a place that each has."""

logger = logging.getLogger("eventcast.listen")


@dataclass(frozen=True)
class Outcome:
    """How it ended."""

    stopped: bool
    """Whether it was asked to stop; if not, no source was left."""
    abandoned: bool
    """Whether calls were left undone."""
    hanging: bool
    """Whether there are threads that don't end."""
    ended: tuple[str, ...] = ()
    """The names of those that ended by themselves: refused for good, or by a fault."""


class Supervisor:
    """Runs each registration by itself: its source as a task here, its calls in a :class:`Runner`.

    Made inside the event loop that runs it.

    :param server: where messages come from.
    :param grace: seconds for calls that run or wait when it is to stop.
    :param fail_fast: whether all end when one ends by itself; if not, the others go on.
    """

    def __init__(
        self, registrations: Sequence[Registration], server: Server, *, grace: float, fail_fast: bool = False
    ) -> None:
        self._server = server
        self._grace = grace
        self._enough = asyncio.FIRST_COMPLETED if fail_fast else asyncio.ALL_COMPLETED
        self._ended: dict[str, str] = {}
        self._loop = asyncio.get_running_loop()
        self._stopping, self._hurrying, self._finished = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._runners = [runner_of(registration, self._tell_finished) for registration in registrations]

    def stop(self) -> None:
        """Stop reading, make the calls that wait, and end; the second time: end at once."""
        if self._stopping.is_set():
            self._hurrying.set()
        self._stopping.set()

    async def run(self) -> Outcome:
        """Run until :meth:`stop`, or until no source is left; with ``fail_fast``, until one is missing."""
        for runner in self._runners:
            runner.start()
        sources = [asyncio.create_task(self._supply(runner)) for runner in self._runners]
        watching = asyncio.create_task(self._watch())
        stopping = asyncio.create_task(self._stopping.wait())
        supplied = asyncio.create_task(asyncio.wait(sources, return_when=self._enough))
        await asyncio.wait([stopping, supplied], return_when=asyncio.FIRST_COMPLETED)
        stopped = self._stopping.is_set()
        logger.info("No more is read. Calls that run or wait have %g s to end.", self._grace)
        draining = asyncio.create_task(self._drain(sources))
        hurrying = asyncio.create_task(self._hurrying.wait())
        await asyncio.wait([draining, hurrying], timeout=self._grace, return_when=asyncio.FIRST_COMPLETED)
        for task in (watching, stopping, supplied, draining, hurrying):
            task.cancel()
        return self._outcome(stopped)

    async def _supply(self, runner: Runner) -> None:
        """Have one source supply its runner. However it ends, it ends nothing else."""
        try:
            await runner.registration.source(self._server, runner)
        except Refused as error:
            self._ended[runner.name] = f"{error.status} {error.code}"
            hint = MOUNT if error.status == HTTPStatus.NOT_FOUND else ""
            detail = error.detail.rstrip(".")
            logger.error("%s is refused, and ends: %d %s. %s.%s", runner.name, error.status, error.code, detail, hint)
        except Exception as error:
            self._ended[runner.name] = type(error).__name__
            logger.exception("%s ends by a fault of its source", runner.name)

    async def _watch(self) -> None:
        interval = min(LOOK, *(runner.registration.slow_after / 4 for runner in self._runners))
        while True:
            await asyncio.sleep(interval)
            for runner in self._runners:
                try:
                    runner.report_slow()
                except Exception:  # it looks into threads that go on meanwhile
                    logger.exception("%s cannot be looked at", runner.name)

    async def _drain(self, sources: Sequence[asyncio.Task[None]]) -> None:
        for source in sources:
            source.cancel()
        await asyncio.wait(sources)
        for runner in self._runners:
            runner.close()
        while not all(runner.finished for runner in self._runners):
            self._finished.clear()
            await self._finished.wait()

    def _tell_finished(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended without waiting for it
            self._loop.call_soon_threadsafe(self._finished.set)

    def _outcome(self, stopped: bool) -> Outcome:
        left = [runner for runner in self._runners if not runner.finished]
        for runner in left:
            logger.error("%s is abandoned: calls running: %d, waiting: %d", runner.name, runner.running, runner.waiting)
        for runner in self._runners:
            logger.info("%s: %s", runner.name, runner.statistics)
        if self._ended:
            ended = ", ".join(f"{name} ({reason})" for name, reason in self._ended.items())
            logger.error("Refused, or ended by a fault: %s", ended)
        deadline = time.monotonic() + (0.0 if left else CLEANING)
        joined = [runner.join(deadline - time.monotonic()) for runner in self._runners]
        return Outcome(stopped, abandoned=bool(left), hanging=not all(joined), ended=tuple(self._ended))
