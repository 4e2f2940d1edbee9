from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from eventcast.server import garbage
from eventcast.server.garbage import GarbageKeeper


class Cycle:
    """What only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def keeper() -> Iterator[GarbageKeeper]:
    found = GarbageKeeper()
    found.start()
    yield found
    found.stop()


def test_start_freezes_what_is_there(keeper: GarbageKeeper) -> None:
    assert gc.get_freeze_count() > 0


def test_stop_leaves_the_collector_as_it_was() -> None:
    callbacks = list(gc.callbacks)
    keeper = GarbageKeeper()
    keeper.start()
    keeper.stop()
    assert (gc.callbacks, gc.get_freeze_count()) == (callbacks, 0)


def test_pass_that_took_long_freezes_what_survived(keeper: GarbageKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "SLOW", 0)
    before, kept = gc.get_freeze_count(), [Cycle() for _ in range(1000)]
    gc.collect()
    assert gc.get_freeze_count() >= before + len(kept)


def test_pass_that_was_short_freezes_nothing(keeper: GarbageKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "SLOW", float("inf"))
    before, kept = gc.get_freeze_count(), [Cycle() for _ in range(1000)]
    gc.collect()
    assert gc.get_freeze_count() <= before
    assert kept


def test_young_passes_freeze_nothing(keeper: GarbageKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "SLOW", 0)
    before, kept = gc.get_freeze_count(), [Cycle() for _ in range(1000)]
    gc.collect(0)
    assert gc.get_freeze_count() <= before
    assert kept


def test_frozen_garbage_is_freed_when_as_many_have_gone_as_are_there(
    keeper: GarbageKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "FEW", 10)
    connection = Cycle()
    gone = weakref.finalize(connection, lambda: None)
    gc.collect()
    gc.freeze()
    del connection
    gc.collect()
    assert gone.alive
    for _ in range(10):
        keeper.connection_gone(present=10)
    assert gone.alive
    keeper.connection_gone(present=10)
    assert not gone.alive
