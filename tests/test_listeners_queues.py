"""The bounded queue of a listener: the calls that wait in it, and the calls that are dropped."""

from __future__ import annotations

import asyncio
import threading

import pytest

from eventcast.listeners.queues import SIZE, WAIT, Call, CallQueue
from tests.live.waiting import TIMEOUT, until


def call(channel: str = "/a", size: int = 0) -> Call:
    return Call(channel, "", size)


def queue(length: int = 2, *, wait: float = WAIT) -> CallQueue:
    made = CallQueue("shop.mail", length)
    made._wait_left = wait
    return made


def taken(calls: CallQueue) -> str:
    found = calls.take()
    assert found is not None
    return found.channel


async def test_take_returns_calls_in_their_order() -> None:
    calls = queue()
    await calls.put(call("/1"))
    await calls.put(call("/2"))
    assert [taken(calls), taken(calls)] == ["/1", "/2"]


async def test_call_that_finds_room_takes_nothing_of_the_time_to_wait() -> None:
    calls = queue(1000)
    for _ in range(1000):
        await calls.put(call())
    assert calls._wait_left == WAIT


async def test_take_waits_in_a_thread() -> None:
    calls = queue()
    taking = asyncio.create_task(asyncio.to_thread(taken, calls))
    await until(lambda: calls._takers, "a thread waits")
    await calls.put(call("/1"))
    assert await asyncio.wait_for(taking, TIMEOUT) == "/1"


async def test_atake_waits_in_another_event_loop() -> None:
    calls = queue()
    found: list[Call | None] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(calls.atake())))
    thread.start()
    await until(lambda: calls._takers, "a coroutine waits")
    await calls.put(call("/1"))
    await asyncio.to_thread(thread.join, TIMEOUT)
    assert [each and each.channel for each in found] == ["/1"]


async def test_close_ends_all_that_wait() -> None:
    calls = queue()
    threads = [asyncio.create_task(asyncio.to_thread(calls.take)) for _ in range(2)]
    tasks = [asyncio.create_task(calls.atake()) for _ in range(2)]
    await until(lambda: len(calls._takers) == 4)
    calls.close()
    assert await asyncio.wait_for(asyncio.gather(*threads, *tasks), TIMEOUT) == [None] * 4


async def test_closed_queue_gives_what_is_left() -> None:
    calls = queue()
    await calls.put(call("/1"))
    calls.close()
    assert (taken(calls), calls.take(), await calls.atake()) == ("/1", None, None)


async def test_put_waits_for_room() -> None:
    calls = queue(1)
    await calls.put(call("/1"))
    putting = asyncio.create_task(calls.put(call("/2")))
    await until(lambda: calls._taken is not None, "the second waits")
    assert taken(calls) == "/1"
    await asyncio.wait_for(putting, TIMEOUT)
    assert (taken(calls), calls.dropped.value) == ("/2", 0)


async def test_put_drops_the_newest_when_the_wait_is_over() -> None:
    calls = queue(wait=0.01)
    for number in range(5):
        await calls.put(call(f"/{number}"))
    assert calls.dropped.value == 3
    assert [taken(calls), taken(calls)] == ["/0", "/1"]


async def test_put_does_not_wait_again_until_calls_are_taken() -> None:
    calls = queue(wait=0.01)
    for _number in range(3):
        await calls.put(call())
    assert calls._wait_left == 0
    calls.take()
    assert 0 < calls._wait_left < 0.01


async def test_offer_drops_a_call_at_once() -> None:
    calls = queue(1)
    calls.offer(call("/1"))
    calls.offer(call("/2"))
    assert (taken(calls), calls.dropped.value) == ("/1", 1)


async def test_put_is_bounded_by_size() -> None:
    calls = queue(10, wait=0)
    await calls.put(call("/1", SIZE // 2))
    await calls.put(call("/2", SIZE))
    assert (len(calls), calls.dropped.value) == (1, 1)


async def test_put_takes_a_large_one_alone() -> None:
    calls = queue(wait=0)
    await calls.put(call("/1", SIZE + 1))
    assert (taken(calls), calls.dropped.value) == ("/1", 0)


async def test_put_that_is_cancelled_keeps_what_was_read() -> None:
    calls = queue(1)
    await calls.put(call("/1"))
    putting = asyncio.create_task(calls.put(call("/2")))
    await until(lambda: calls._taken is not None, "the second waits")
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert [taken(calls), taken(calls), calls.dropped.value] == ["/1", "/2", 0]


async def test_drops_are_logged_when_they_begin_and_when_they_end(caplog: pytest.LogCaptureFixture) -> None:
    calls = queue(wait=0)
    for _burst in range(2):
        for number in range(5):
            await calls.put(call(f"/{number}"))
        taken(calls)
        taken(calls)
    assert [record.getMessage() for record in caplog.records] == [
        "shop.mail is too slow: 2 messages of 0 bytes wait. New messages are dropped until there is room.",
        "shop.mail: the queue has room again. 3 messages were dropped.",
    ] * 2
