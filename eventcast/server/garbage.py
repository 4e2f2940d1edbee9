"""Python's cyclic garbage collector in a process with very many connections.

A full pass looks at every object there is, and nothing else happens meanwhile: 0.25 to 0.6 s with 10 000 connections.
Publishing brings one about every some seconds, since what a request leaves behind for a second counts as long-lived. So
whatever has survived a pass that took long is *frozen*: later passes leave it out. What is frozen is freed like
everything else when nothing refers to it any more, but for cycles. Each connection that Daphne has served is a cycle,
because the objects of Daphne, Twisted and autobahn refer to each other. When as many have gone as are there, all is
looked at again.
"""

from __future__ import annotations

import gc
import time
from typing import Any

SLOW = 0.02
"""Seconds of a full pass above which what has survived it is frozen."""

FEW = 1000
"""Closed connections whose remains, some 10 KiB each, are not worth a pass over everything."""


class GarbageKeeper:
    """Keeps passes of the collector short, for the rest of the process."""

    def __init__(self) -> None:
        self._began = 0.0
        self._gone = 0
        """Connections closed since everything was looked at."""

    def start(self) -> None:
        """All that is there now, the modules for the most part, is there to stay."""
        gc.collect()
        gc.freeze()
        gc.callbacks.append(self._note)

    def stop(self) -> None:
        """Leave the collector as it was."""
        gc.callbacks.remove(self._note)
        gc.unfreeze()

    def connection_gone(self, present: int) -> None:
        """A connection was closed, ``present`` are left. Now and then this takes as long as a full pass."""
        self._gone += 1
        if self._gone > max(FEW, present):
            self._gone = 0
            gc.unfreeze()
            gc.collect()

    def _note(self, phase: str, info: dict[str, Any]) -> None:
        if info["generation"] != 2:
            return
        if phase == "start":
            self._began = time.perf_counter()
        elif time.perf_counter() - self._began > SLOW:
            gc.freeze()
