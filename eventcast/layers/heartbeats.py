"""Which processes live: each sends a heartbeat every two seconds. Its own heartbeats return while the bus works."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

INTERVAL = 2.0
"""Seconds between two heartbeats."""

OVERDUE = 5.0
"""Seconds without a returned heartbeat of this process after which the bus counts as broken."""

GONE = 7.0
"""Seconds without a heartbeat after which a process counts as gone: three heartbeats are missing."""


@dataclass(frozen=True)
class Process:
    """A process that lives, as it has described itself."""

    id: str
    about: dict[str, Any]
    heard_at: float = field(default_factory=lambda: time.monotonic())
    """When its last heartbeat came, by the monotonic clock."""


class Heartbeats:
    """Sends the heartbeats of this process, and notes those of all processes.

    :param send: sends one heartbeat.
    :param suspect: called while this process's heartbeats do not come back.
    :param works: whether the bus works, by its own knowledge.
    """

    def __init__(self, send: Callable[[], None], suspect: Callable[[str], None], works: Callable[[], bool]) -> None:
        self._send = send
        self._suspect = suspect
        self._works = works
        self._processes: dict[str, Process] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._returned_at = self._sent_at = self._returning_since = 0.0
        self.lag = 0.0
        """Seconds that the last heartbeat of this process took to come back; 0 if the bus does not return them."""

    def start(self) -> None:
        """Begin on the running event loop; or begin again, because the others may have missed heartbeats."""
        self.stop()
        self._returned_at = self._returning_since = time.monotonic()
        self._beat(asyncio.get_running_loop())

    def stop(self) -> None:
        """Send no more heartbeats."""
        if self._timer is not None:
            self._timer.cancel()

    def note(self, id: str, about: dict[str, Any] | None) -> None:
        """Note a heartbeat; None is the last one of a process that ends."""
        if about is None:
            self._processes.pop(id, None)
        else:
            self._processes[id] = Process(id, about)

    def note_return(self) -> None:
        """This process's own heartbeat has come back."""
        self._returned_at = time.monotonic()
        self.lag = self._returned_at - self._sent_at

    def others(self) -> list[Process]:
        """The other processes that live."""
        oldest = time.monotonic() - GONE
        for process in [each for each in self._processes.values() if each.heard_at < oldest]:
            self._processes.pop(process.id, None)
        return list(self._processes.values())

    def living(self, receivers: int) -> int:
        """How many of those that receive a message can answer: a process whose machine was cut off remains subscribed
        for minutes, and is gone by its heartbeats."""
        if receivers <= 1 or time.monotonic() - self._returning_since < 2 * INTERVAL:
            return receivers  # This process may not have received the heartbeats of all others, either.
        return min(receivers, len(self.others()) + 1)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(INTERVAL, self._beat, loop)
        now = time.monotonic()
        if not self._works():
            self._returned_at = self._returning_since = now
            return
        if now - self._returned_at > 1.5 * INTERVAL:
            self._returning_since = now  # The heartbeats of others did not arrive, either.
        self._sent_at = now
        self._send()
        if now - self._returned_at > OVERDUE:
            self._returned_at = now
            self._suspect(f"what this process sends has not come back for {OVERDUE:g} s")
