from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from eventcast.server import garbage
from eventcast.server.garbage import keep_passes_short


class Cycle:
    """What only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _keeping() -> Iterator[None]:
    callbacks, thresholds = list(gc.callbacks), gc.get_threshold()
    keep_passes_short()
    yield
    gc.callbacks[:] = callbacks
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_keeper_freezes_what_is_there() -> None:
    assert gc.get_freeze_count() > 0


def test_pass_that_took_long_freezes_what_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "SLOW", 0)
    before, kept = gc.get_freeze_count(), [Cycle() for _ in range(1000)]
    gc.collect()
    assert gc.get_freeze_count() >= before + len(kept)


def test_pass_that_was_short_freezes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "SLOW", float("inf"))
    before, kept = gc.get_freeze_count(), [Cycle() for _ in range(1000)]
    gc.collect()
    assert gc.get_freeze_count() <= before
    assert kept


def test_young_passes_freeze_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "SLOW", 0)
    before, kept = gc.get_freeze_count(), [Cycle() for _ in range(1000)]
    gc.collect(0)
    assert gc.get_freeze_count() <= before
    assert kept


def test_frozen_garbage_is_freed_after_some_full_passes() -> None:
    gone = weakref.finalize(Cycle(), lambda: None)
    gc.freeze()
    gc.collect()
    assert gone.alive
    for _ in range(garbage.SHORT_PASSES + 1):
        gc.collect()
    assert not gone.alive
