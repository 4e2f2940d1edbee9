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

SHORT_PASSES = 5
"""Full passes after which the next one looks at everything."""

YOUNG = 10_000
"""New objects that bring about a pass over them. Python's 700 are what thirty connections are made of, and most objects
here are freed without the collector."""


def keep_passes_short() -> None:
    """Keep passes of the collector short, for the rest of the process."""
    began, short_passes = 0.0, 0

    def note(phase: str, info: dict[str, Any]) -> None:
        nonlocal began, short_passes
        if info["generation"] != 2:
            return
        if phase == "start":
            began = time.perf_counter()
            return
        short_passes = (short_passes + 1) % SHORT_PASSES
        if short_passes == 0:
            gc.unfreeze()
        elif time.perf_counter() - began > SLOW:
            gc.freeze()

    # All that is there now, the modules for the most part, is there to stay.
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)
    gc.callbacks.append(note)
