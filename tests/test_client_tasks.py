"""Coroutines that belong together end together."""

from __future__ import annotations

import asyncio

import pytest

from eventcast.client.watching import until_one_ends


class Worker:
    """Works for ever; takes its time to end, and notes whether it got it."""

    def __init__(self) -> None:
        self.ended_well = False

    async def work(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):
                await asyncio.sleep(0)
            self.ended_well = True


async def fail() -> None:
    raise LookupError("no more")


async def test_until_one_ends_lets_the_others_end_in_good_order() -> None:
    workers = [Worker(), Worker()]
    await until_one_ends(*(each.work() for each in workers), asyncio.sleep(0))
    assert all(each.ended_well for each in workers)


async def test_until_one_ends_raises_what_one_raised() -> None:
    worker = Worker()
    with pytest.raises(LookupError, match="no more"):
        await until_one_ends(worker.work(), fail())
    assert worker.ended_well


async def test_until_one_ends_lets_all_end_in_good_order_when_it_is_cancelled() -> None:
    workers = [Worker(), Worker()]
    quick = asyncio.Event().wait()  # ends at once, and must not take the others with it
    task = asyncio.create_task(until_one_ends(quick, *(each.work() for each in workers)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(each.ended_well for each in workers)
