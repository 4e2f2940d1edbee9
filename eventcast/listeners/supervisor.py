"""Runs listeners together, from the first connection to the last call."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from eventcast.client.answers import MOUNT_HINT, sentence
from eventcast.exceptions import Refused
from eventcast.listeners.alarms import watch_heartbeats
from eventcast.listeners.heartbeats import HeartbeatListener
from eventcast.listeners.registry import Listener, Registration
from eventcast.listeners.running import Runner
from eventcast.listeners.sources import Server, listen

LOOK = 1.0
"""Seconds between two looks for slow calls, at most."""

CLEANING = 1.0
"""Seconds that threads have to end after their last call."""

logger = logging.getLogger("eventcast.listen")

Source = Callable[[Runner], Awaitable[None]]
"""Puts calls into a runner, until cancelled."""


def source_of(url: str, headers: Mapping[str, str]) -> Source:
    """The source of every listener's calls: a subscription to a server.

    :param url: of the server with its mount, as in ``http://host/live``.
    :param headers: more headers of each request.
    """
    server = Server(url, headers)

    async def source(runner: Runner) -> None:
        registration = runner.registration
        if isinstance(registration, HeartbeatListener):
            await watch_heartbeats(registration, server, runner)
        elif isinstance(registration, Listener):
            await listen(registration, server, runner)

    return source


@dataclass(frozen=True)
class Outcome:
    """The result of :meth:`Supervisor.run`."""

    stopped: bool
    """Whether it was stopped from outside. If not, the sources ended."""
    abandoned: bool
    """Whether calls were not made."""
    hanging: bool
    """Whether threads did not end."""
    ended: tuple[str, ...] = ()
    """The names of the listeners that ended by themselves: the server refused them, or their source failed."""


class Supervisor:
    """Runs each listener independently: its source as a task of this event loop, its calls in a :class:`Runner`.

    Made inside the event loop that runs it.

    :param source: where calls come from.
    :param grace: seconds that calls have to end after :meth:`stop`.
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
        """Stop reading, and end when the calls that wait are made. The second time: end at once."""
        if self._stopping.is_set():
            self._hurrying.set()
        self._stopping.set()

    async def run(self) -> Outcome:
        """Run until :meth:`stop`, or until all sources have ended; with ``fail_fast``, until one has."""
        for runner in self._runners:
            runner.start()
        sources = [asyncio.create_task(self._supply(runner)) for runner in self._runners]
        supplied = asyncio.create_task(asyncio.wait(sources, return_when=self._enough))
        stopping, hurrying, looking = map(
            asyncio.create_task, (self._stopping.wait(), self._hurrying.wait(), self._look_for_slow_calls())
        )
        await asyncio.wait([stopping, supplied], return_when=asyncio.FIRST_COMPLETED)
        stopped = self._stopping.is_set()
        logger.info("Reading has stopped. Calls that run or wait have %g s to end.", self._grace)
        draining = asyncio.create_task(self._drain(sources))
        await asyncio.wait([draining, hurrying], timeout=self._grace, return_when=asyncio.FIRST_COMPLETED)
        for task in (supplied, stopping, hurrying, looking, draining):
            task.cancel()
        return self._outcome(stopped)

    async def _supply(self, runner: Runner) -> None:
        """Run one source. Its end does not end the others."""
        try:
            await self._source(runner)
        except Refused as error:
            self._ended[runner.name] = f"{error.status} {error.code}"
            hint = f" {MOUNT_HINT}" if error.status == 404 else ""
            detail = sentence(error.detail) + hint
            logger.error("%s: the server refuses it: %d %s. %s", runner.name, error.status, error.code, detail)
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
        """End the sources, and wait until all calls are made."""
        for source in sources:
            source.cancel()
        await asyncio.wait(sources)
        for runner in self._runners:
            runner.close()
        await asyncio.wait([asyncio.wrap_future(runner.finished) for runner in self._runners])

    def _outcome(self, stopped: bool) -> Outcome:
        left = [runner for runner in self._runners if not runner.finished.done()]
        for runner in left:
            logger.error("%s is abandoned: calls running: %d, waiting: %d", runner.name, runner.running, runner.waiting)
        for runner in self._runners:
            logger.info("%s: %s", runner.name, runner.statistics)
        if self._ended:
            ended = ", ".join(f"{name} ({reason})" for name, reason in self._ended.items())
            logger.error("Refused, or failed: %s", ended)
        deadline = time.monotonic() + (0.0 if left else CLEANING)
        joined = [runner.join(deadline - time.monotonic()) for runner in self._runners]
        return Outcome(stopped, abandoned=bool(left), hanging=not all(joined), ended=tuple(self._ended))
