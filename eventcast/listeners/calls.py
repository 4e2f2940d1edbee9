"""A call of a listener's function, and the figures of all its calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""The positional and the keyword arguments of a call."""


@dataclass(frozen=True)
class Call:
    """One call: a source puts it into the listener's queue, and a worker makes it."""

    prepare: Callable[[], Arguments | None]
    """Returns the arguments, or None if there is nothing to call. The worker calls it, so it may take its time.

    It may raise :class:`~eventcast.exceptions.UndecodableMessage`."""
    channel: str
    size: int = 0
    """Bytes of memory that the call takes while it waits."""
    on_failure: Callable[[], object] | None = None
    """The worker calls it if the function raises. It must not wait."""


@dataclass
class Statistics:
    """Figures of one listener since its start."""

    handled: int = 0
    """Calls that returned."""
    failed: int = 0
    """Calls that raised."""
    dropped: int = 0
    """Messages that found the queue full."""
    undecodable: int = 0
    """Messages that are not JSON. The function was not called with them."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def count(self, name: str) -> None:
        """Add one to the figure ``name``. Any thread may call it."""
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)

    def __str__(self) -> str:
        return ", ".join(f"{getattr(self, figure.name)} {figure.name}" for figure in fields(self))
