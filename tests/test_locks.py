"""The locks that the garbage collector may come back to: a finalizer may log, a log handler may publish."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import pytest

from eventcast.engine.figures import ThreadSafeCounter
from eventcast.engine.quotas import Quotas
from eventcast.security import refusals
from eventcast.security.throttling import Allowances


class Cycle:
    """Garbage that only a collection finds, and that calls a function when it goes."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._itself = self
        self._function = function

    def __del__(self) -> None:
        self._function()


class Name(str):
    """A name that runs the garbage collector when a dictionary looks it up."""

    __slots__ = ()

    def __hash__(self) -> int:
        gc.collect(1)  # what is young: the tests before have left much that is old
        return super().__hash__()


class Number(int):
    """A number that runs the garbage collector when it is added."""

    def __radd__(self, other: int) -> int:
        gc.collect(1)  # what is young: the tests before have left much that is old
        return other + int(self)


quotas, allowances, tally = Quotas(), Allowances(), ThreadSafeCounter()


@pytest.mark.parametrize(
    ("locked", "finalizer"),
    [
        (lambda: quotas.reserve(Name("/a"), ""), lambda: quotas.reserve("/b", "")),
        (lambda: quotas.release((Name("/a"), "")), lambda: quotas.release(("/b", ""))),
        (lambda: allowances.take(Name("a"), 1, 1.0, 5.0, 0.0), lambda: allowances.take("b", 1, 1.0, 5.0, 0.0)),
        (lambda: refusals.count(Name("made_up_here")), lambda: refusals.count("made_up_there")),
        (lambda: tally.add(Number(1)), lambda: tally.add(1)),
    ],
    ids=["reserve", "release", "take", "count", "add"],
)
def test_finalizer_that_comes_back_to_a_lock_does_not_wait_for_ever(
    locked: Callable[[], object], finalizer: Callable[[], object]
) -> None:
    finalized = threading.Event()

    def finalize() -> None:
        finalizer()
        finalized.set()

    def run() -> None:
        Cycle(finalize)
        locked()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert (thread.is_alive(), finalized.is_set()) == (False, True)
