"""Tests run beside each other, in the workers of pytest-xdist: what they share, and how one of them is alone."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def workers() -> int:
    """How many workers keep this machine busy: two for each processor, since tests often wait."""
    return max(2, (os.cpu_count() or 1) * 2)


def shared_folder(config: pytest.Config) -> Path | None:
    """The temporary folder that the workers of this run have in common; None if this process is no worker."""
    return Path(config.getoption("basetemp")).parent if hasattr(config, "workerinput") else None


@contextmanager
def locked(path: Path, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold the lock on that file, which is made if it is not there, against other processes."""
    with path.open("ab") as file:
        fcntl.flock(file, kind)
        yield  # Closing the file gives the lock back.


@contextmanager
def turn(folder: Path | None, *, alone: bool) -> Iterator[None]:
    """Wait until a test may run: beside others, or while no other one does. None: there are no others."""
    if folder is None:
        yield
        return
    with (folder / "room.lock").open("ab") as room:
        # A test that waits to be alone holds the door meanwhile: without it, others could begin for ever.
        with locked(folder / "door.lock"):
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
