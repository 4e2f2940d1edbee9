"""Python's cyclic garbage collector in a process with very many connections.

A full pass looks at every object there is, and nothing else happens meanwhile: 0.1 to 0.4 s with 10 000 connections.
Publishing brings one about every some seconds, since what a request leaves behind for a second counts as long-lived. So
whatever has survived a pass that took long is *frozen*: later passes leave it out. What is frozen is freed like
everything else when nothing refers to it any more, but for cycles, as the objects of Daphne, Twisted and autobahn for
one connection are. So now and then all is looked at again.
"""

from __future__ import annotations

import gc
import time
from typing import Any

SLOW = 0.02
"""Seconds of a full pass above which what has survived it is frozen."""

SHORT_PASSES = 50
"""Full passes after which the next one looks at everything."""


class GarbageKeeper:
    """Keeps passes of the collector short, for the rest of the process."""

    def __init__(self) -> None:
        self._began = 0.0
        self._short = 0
        # All that is there now, the modules for the most part, is there to stay.
        gc.collect()
        gc.freeze()
        gc.callbacks.append(self._note)

    def stop(self) -> None:
        """Leave the collector as it was."""
        gc.callbacks.remove(self._note)
        gc.unfreeze()

    def _note(self, phase: str, info: dict[str, Any]) -> None:
        if info["generation"] != 2:
            return
        if phase == "start":
            self._began = time.perf_counter()
            return
        self._short = 0 if self._short >= SHORT_PASSES else self._short + 1
        if self._short == 0:
            gc.unfreeze()
        elif time.perf_counter() - self._began > SLOW:
            gc.freeze()
