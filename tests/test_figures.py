from __future__ import annotations

from eventcast.engine.figures import ChannelFigures, Figures, past_figures


def test_figures_begin_with_nothing() -> None:
    assert Figures() == Figures(messages=0, delivered=0, lost=0)


def test_figures_add_up_one_by_one() -> None:
    assert Figures(1, 2, 3) + Figures(10, 20, 30) == Figures(messages=11, delivered=22, lost=33)


def test_buffered_messages_count_after_the_last_subscriber_has_left() -> None:
    channel, before = ChannelFigures(), past_figures.value
    channel.messages = channel.delivered = 5
    channel.retire()
    channel.count_messages(delivered=2, lost=1)
    assert past_figures.value == before + Figures(5, 7, 1)
