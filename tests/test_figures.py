from __future__ import annotations

from eventcast.engine.figures import Figures


def test_figures_begin_with_nothing() -> None:
    assert Figures() == Figures(messages=0, delivered=0, lost=0)


def test_figures_add_up_one_by_one() -> None:
    assert Figures(1, 2, 3) + Figures(10, 20, 30) == Figures(messages=11, delivered=22, lost=33)
