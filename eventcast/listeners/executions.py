"""A call that is being made: how long it has taken so far, and where it is."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any

from eventcast.listeners.calls import Call

_HERE = str(Path(__file__).parent)


class Execution:
    """One call while it is being made; made in the thread that makes it.

    :param slow_after: seconds after which it is :meth:`slow`.
    """

    def __init__(self, call: Call, slow_after: float) -> None:
        self.call = call
        self.awaited: Any = None
        """The coroutine of an ``async def`` function, once there is one."""
        self._thread = threading.get_ident()
        self._began = time.monotonic()
        self._slow_after = slow_after

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._began

    def slow(self) -> bool:
        """Whether it is time to say that it is slow: once, and again after twice as long."""
        seconds = self.seconds
        if seconds < self._slow_after:
            return False
        while self._slow_after <= seconds:
            self._slow_after *= 2
        return True

    def stack(self) -> str:
        """Where it is now, as in a traceback."""
        frames = _suspended(self.awaited)
        if not frames:
            running = sys._current_frames().get(self._thread)
            frames = [] if running is None else [*traceback.walk_stack(running)][::-1]
            # From the function on: how it came to be called is of no interest.
            own = [number for number, (frame, _) in enumerate(frames, 1) if _is_own(frame.f_code)]
            frames = frames[max(own, default=0) :] or frames
        summary = traceback.StackSummary.extract(frames)
        return "".join(summary.format()).rstrip()


def outside(found: TracebackType | None) -> TracebackType | None:
    """A traceback without what leads from here to the function."""
    inner = found
    while inner is not None and _is_own(inner.tb_frame.f_code):
        inner = inner.tb_next
    return inner or found


def _is_own(code: CodeType) -> bool:
    return code.co_filename.startswith(_HERE)


def _suspended(awaited: Any) -> list[tuple[Any, int]]:
    """The frames of a coroutine that waits, outermost first; none if it runs, for then its thread's stack has them.

    A task's own ``get_stack()`` ends at the first of them.
    """
    frames: list[tuple[Any, int]] = []
    while awaited is not None:
        if getattr(awaited, "cr_running", False):
            return []
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            frames.append((frame, frame.f_lineno))
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return frames
