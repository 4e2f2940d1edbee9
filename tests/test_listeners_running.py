"""How the calls of one listener are made, in its own threads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from eventcast.listeners.queues import Call
from eventcast.listeners.registry import Registration
from eventcast.listeners.running import Runner
from tests.live.waiting import TIMEOUT, until

Start = Callable[..., Runner]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts the runner of a function; it is closed and has ended when the test is over."""
    runners: list[Runner] = []

    def start(function: Callable[..., Any], **options: Any) -> Runner:
        runners.append(Runner(Registration(name="shop.mail", path="/a", function=function, **options)))
        runners[-1].start()
        return runners[-1]

    yield start
    for runner in runners:
        runner.queue.close()
        assert await asyncio.to_thread(runner.join, TIMEOUT)


def call(number: int = 0) -> Call:
    return Call("/a", str(number))


async def end(runner: Runner) -> dict[str, int]:
    """Close the queue; returns the figures of all calls that are not 0."""
    runner.queue.close()
    await until(runner.finished.done, "all calls are made")
    return {name: tally.value for name, tally in runner.statistics.items() if tally.value}


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def as_async(function: Callable[..., Any]) -> Callable[..., Any]:
    async def called(*args: Any) -> Any:
        return function(*args)

    return called


KINDS = pytest.mark.parametrize("kind", [plain, as_async], ids=["plain", "async"])


@KINDS
async def test_calls_are_made_in_their_order(kind: Any, start: Start) -> None:
    found: list[int] = []
    runner = start(kind(found.append))
    for number in range(100):
        await runner.queue.put(call(number))
    assert await end(runner) == {"handled": 100}
    assert found == list(range(100))


@KINDS
@pytest.mark.parametrize("error", [RuntimeError, SystemExit, asyncio.CancelledError])
async def test_call_that_raises_is_logged_and_counted(
    kind: Any, error: type[BaseException], start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(number: int) -> None:
        if number == 1:
            raise error("why")

    runner = start(kind(fail))
    for number in range(3):
        await runner.queue.put(call(number))
    assert await end(runner) == {"handled": 2, "failed": 1}
    (record,) = caplog.records
    assert record.getMessage() == "shop.mail: a call for /a failed"
    assert record.exc_info is not None
    assert record.exc_info[0] is error


@KINDS
async def test_call_that_cannot_be_prepared_is_counted(
    kind: Any, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    runner = start(kind(lambda message: None))
    await runner.queue.put(Call("/a", "{"))
    await runner.queue.put(Call("/b", "1"))  # is not the listener's channel
    assert await end(runner) == {"undecodable": 1}
    (record,) = caplog.records
    assert record.getMessage().startswith("shop.mail: A message of 1 characters on /a is not JSON.")


async def test_sync_to_async_of_one_does_not_wait_for_another(start: Start) -> None:
    going_on = threading.Event()
    hanging, free = (start(sync_to_async(function)) for function in (lambda _: going_on.wait(TIMEOUT), lambda _: None))
    await hanging.queue.put(call())
    await until(lambda: hanging.executions)
    await free.queue.put(call())
    assert await end(free) == {"handled": 1}
    assert len(hanging.executions) == 1
    going_on.set()


@KINDS
async def test_calls_are_made_at_the_same_time_where_they_may(kind: Any, start: Start) -> None:
    meeting = threading.Barrier(3)

    async def meet(number: int) -> None:
        await asyncio.to_thread(meeting.wait, TIMEOUT)

    runner = start(meet if kind is as_async else lambda number: meeting.wait(TIMEOUT), concurrency=3)
    for _ in range(3):
        await runner.queue.put(call())
    assert await end(runner) == {"handled": 3}


async def test_slow_call_is_logged_once_and_again_after_twice_as_long(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    going_on = threading.Event()

    def hang(number: int) -> None:
        going_on.wait(TIMEOUT)

    runner = start(hang, slow_after=0.05)
    began = time.monotonic()
    await runner.queue.put(call())
    try:
        await until(lambda: runner.report_slow() or len(caplog.records) == 2)  # type: ignore[func-returns-value]
        assert time.monotonic() - began >= 0.1
    finally:
        going_on.set()
    assert "going_on.wait(TIMEOUT)" in caplog.text


async def test_slow_coroutine_is_logged_with_the_line_where_it_waits(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def wait(number: int) -> None:
        waiting.append((asyncio.get_running_loop(), asyncio.Event()))
        await waiting[0][1].wait()

    runner = start(wait, slow_after=0.01)
    await runner.queue.put(call())
    try:
        await until(lambda: runner.report_slow() or caplog.records)  # type: ignore[func-returns-value]
    finally:
        await until(lambda: waiting)
        waiting[0][0].call_soon_threadsafe(waiting[0][1].set)
    assert "await waiting[0][1].wait()" in caplog.text
