"""All losses of the in-memory layer are counted, and logged once per burst."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from channels.exceptions import ChannelFull

from eventcast.layers import InMemoryChannelLayer
from tests.layer_tools import layer_and_clock, run_in_thread, waiting_reader


class Lines(list[str]):
    """The lines logged to ``eventcast.layers``, at any level; take() empties the list."""

    def take(self) -> list[str]:
        lines = self[:]
        self.clear()
        return lines


@pytest.fixture
def lines() -> Iterator[Lines]:
    lines, logger = Lines(), logging.getLogger("eventcast.layers")
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(f"{record.levelname} {record.getMessage()}")  # type: ignore[method-assign]
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


FULL = "WARNING Channel a is full (4 unread messages); messages for its groups are dropped until it has room."


async def full_layer() -> InMemoryChannelLayer:
    layer = InMemoryChannelLayer(capacity=4)
    await layer.group_add("group", "a")
    for _ in range(4):
        layer.group_send_nowait("group", {})
    return layer


async def test_drop_is_counted_and_logged_once_per_burst(lines: Lines) -> None:
    layer = await full_layer()
    assert lines.take() == []
    for _ in range(10):
        layer.group_send_nowait("group", {})
    assert lines.take() == [FULL]
    assert layer.statistics().dropped == 10

    await layer.receive("a")
    layer.group_send_nowait("group", {})
    layer.group_send_nowait("group", {})
    await layer.receive("a")
    assert lines.take() == []
    await layer.receive("a")
    assert lines.take() == ["WARNING Channel a has room again; 11 messages were dropped."]

    for _ in range(4):
        layer.group_send_nowait("group", {})
    assert lines.take() == [FULL]
    assert layer.statistics().dropped == 13


async def test_burst_ends_with_flush(lines: Lines) -> None:
    layer = await full_layer()
    layer.group_send_nowait("group", {})
    await layer.flush()
    assert lines.take() == [FULL, "WARNING Channel a has room again; 1 messages were dropped."]


async def test_burst_ends_when_the_messages_expire(lines: Lines) -> None:
    layer, clock = layer_and_clock(capacity=1)
    await layer.group_add("group", "a")
    for _ in range(3):
        layer.group_send_nowait("group", {})
    clock.advance(61)
    layer.group_send_nowait("other", {})
    assert lines.take() == [
        "WARNING Channel a is full (1 unread messages); messages for its groups are dropped until it has room.",
        "WARNING Channel a has room again; 2 messages were dropped.",
        "WARNING 1 messages expired unread, the last in channel a; 1 memberships of unread channels ended.",
    ]


async def test_refused_message_is_counted_and_not_logged(lines: Lines) -> None:
    layer = await full_layer()
    for _ in range(3):
        with pytest.raises(ChannelFull):
            await layer.send("a", {})
    statistics = layer.statistics()
    assert (statistics.sent, statistics.refused, statistics.dropped) == (4, 3, 0)
    assert lines.take() == []


async def test_expired_messages_are_counted_and_summed_up_once_a_minute(lines: Lines) -> None:
    layer, clock = layer_and_clock(expiry=1)
    for step in range(10):
        for number in range(10):
            await layer.group_add(f"group{number}", f"a{number}")
            layer.group_send_nowait(f"group{number}", {})
        clock.advance(7)
        layer.group_send_nowait("other", {})
        assert layer.statistics().expired == 10 * (step + 1)
    assert lines.take() == [
        "WARNING 10 messages expired unread, the last in channel a9; 10 memberships of unread channels ended.",
        "WARNING 90 messages expired unread, the last in channel a9; 90 memberships of unread channels ended.",
    ]


async def test_messages_for_a_reader_that_left_expire_quietly(lines: Lines) -> None:
    layer, clock = layer_and_clock()
    await layer.group_add("group", "a")
    layer.group_send_nowait("group", {})
    await layer.group_discard("group", "a")
    clock.advance(61)
    layer.group_send_nowait("group", {})
    assert layer.statistics().expired == 1
    assert lines.take() == []


async def test_message_that_expires_for_a_reader_is_logged(lines: Lines) -> None:
    layer, clock = layer_and_clock()
    await layer.group_add("group", "a")
    reader = await waiting_reader(layer, "a")
    layer.group_send_nowait("group", {"number": 1})
    clock.advance(61)
    layer.group_send_nowait("group", {"number": 2})
    assert await reader == {"number": 2}
    assert lines.take() == [
        "WARNING 1 messages expired unread, the last in channel a; 0 memberships of unread channels ended."
    ]


async def test_log_handler_may_publish() -> None:
    layer = await full_layer()
    logger, handler = logging.getLogger("eventcast.layers"), logging.Handler()
    # In another thread, as a handler does that has a queue: the layer must not be locked now.
    handler.emit = lambda record: run_in_thread(layer.group_send_nowait, "group", {})  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        layer.group_send_nowait("group", {})
    finally:
        logger.removeHandler(handler)
    assert layer.statistics().dropped == 2


async def test_statistics_count_everything() -> None:
    layer, clock = layer_and_clock(capacity=2)
    for channel in ("a", "b"):
        await layer.group_add("group", channel)
    for _ in range(3):
        layer.group_send_nowait("group", {})
    await layer.receive("a")
    statistics = layer.statistics()
    assert (statistics.sent, statistics.dropped, statistics.expired) == (4, 2, 0)
    assert (statistics.channels, statistics.groups) == (2, 1)
    with pytest.raises(AttributeError):
        statistics.sent = 0  # type: ignore[misc]
    clock.advance(61)
    await layer.group_send("other", {})
    assert layer.statistics().expired == 3
