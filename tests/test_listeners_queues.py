"""The bounded queue of a listener: what waits in it, what is waited for, and what is dropped."""

from __future__ import annotations

import asyncio
import threading

import pytest

from eventcast.listeners.calls import Call
from eventcast.listeners.counting import Counters
from eventcast.listeners.queues import PATIENCE, SIZE, CallQueue
from tests.live.waiting import TIMEOUT, until


def call(channel: str = "/a", size: int = 0) -> Call:
    return Call(lambda: None, channel, size)


def queue(length: int = 2, *, patience: float = PATIENCE) -> tuple[CallQueue, Counters]:
    counters = Counters()
    made = CallQueue("shop.mail", length, counters)
    made._patience = patience
    return made, counters


def taken(calls: CallQueue) -> str:
    found = calls.take()
    assert found is not None
    return found.channel


async def test_take_returns_calls_in_their_order() -> None:
    calls, _ = queue()
    await calls.put(call("/1"))
    await calls.put(call("/2"))
    assert [taken(calls), taken(calls)] == ["/1", "/2"]


async def test_take_waits_in_a_thread() -> None:
    calls, _ = queue()
    taking = asyncio.create_task(asyncio.to_thread(taken, calls))
    await until(lambda: calls._filled._waiters, "a thread waits")  # type: ignore[attr-defined]
    await calls.put(call("/1"))
    assert await asyncio.wait_for(taking, TIMEOUT) == "/1"


async def test_atake_waits_in_another_event_loop() -> None:
    calls, _ = queue()
    found: list[Call | None] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(calls.atake())))
    thread.start()
    await until(lambda: calls._takers, "a coroutine waits")
    await calls.put(call("/1"))
    await asyncio.to_thread(thread.join, TIMEOUT)
    assert [each and each.channel for each in found] == ["/1"]


async def test_close_ends_all_who_wait() -> None:
    calls, _ = queue()
    threads = [asyncio.create_task(asyncio.to_thread(calls.take)) for _ in range(2)]
    tasks = [asyncio.create_task(calls.atake()) for _ in range(2)]
    await until(lambda: len(calls._takers) == 2)
    calls.close()
    assert await asyncio.wait_for(asyncio.gather(*threads, *tasks), TIMEOUT) == [None] * 4


async def test_closed_queue_gives_what_is_left() -> None:
    calls, _ = queue()
    await calls.put(call("/1"))
    calls.close()
    assert (taken(calls), calls.take(), await calls.atake()) == ("/1", None, None)


async def test_put_waits_for_room() -> None:
    calls, counters = queue(1)
    await calls.put(call("/1"))
    putting = asyncio.create_task(calls.put(call("/2")))
    await until(lambda: calls._putter is not None, "the second waits")
    assert taken(calls) == "/1"
    await asyncio.wait_for(putting, TIMEOUT)
    assert (taken(calls), counters.statistics.dropped) == ("/2", 0)


async def test_put_drops_the_newest_when_patience_is_over() -> None:
    calls, counters = queue(patience=0.01)
    for number in range(5):
        await calls.put(call(f"/{number}"))
    assert counters.statistics.dropped == 3
    assert [taken(calls), taken(calls)] == ["/0", "/1"]


async def test_put_has_no_patience_left_until_calls_are_taken() -> None:
    calls, _ = queue(patience=0.01)
    for _number in range(3):
        await calls.put(call())
    assert calls._patience == 0
    calls.take()
    assert 0 < calls._patience < 0.01


async def test_put_is_bounded_by_size() -> None:
    calls, counters = queue(10, patience=0)
    await calls.put(call("/1", SIZE // 2))
    await calls.put(call("/2", SIZE))
    assert (len(calls), counters.statistics.dropped) == (1, 1)


async def test_put_takes_a_large_one_alone() -> None:
    calls, counters = queue(patience=0)
    await calls.put(call("/1", SIZE + 1))
    assert (taken(calls), counters.statistics.dropped) == ("/1", 0)


async def test_put_that_is_cancelled_keeps_what_was_read() -> None:
    calls, counters = queue(1)
    await calls.put(call("/1"))
    putting = asyncio.create_task(calls.put(call("/2")))
    await until(lambda: calls._putter is not None, "the second waits")
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert [taken(calls), taken(calls), counters.statistics.dropped] == ["/1", "/2", 0]


async def test_drops_are_logged_when_they_begin_and_when_they_end(caplog: pytest.LogCaptureFixture) -> None:
    calls, _ = queue(patience=0)
    for _burst in range(2):
        for number in range(5):
            await calls.put(call(f"/{number}"))
        taken(calls)
        taken(calls)
    assert [record.getMessage() for record in caplog.records] == [
        "shop.mail is too slow: 2 messages of 0 bytes wait, and the newest are dropped until there is room.",
        "shop.mail: there is room again, 3 messages were dropped.",
    ] * 2
