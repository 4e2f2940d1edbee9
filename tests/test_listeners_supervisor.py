"""How listeners are run together, and how they end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from eventcast.exceptions import Forbidden, Refused, ReservedChannel
from eventcast.listeners.queues import Call
from eventcast.listeners.registry import Registration
from eventcast.listeners.running import Runner
from eventcast.listeners.supervisor import Outcome, Supervisor
from tests.live.waiting import TIMEOUT, until


@dataclass(frozen=True, kw_only=True)
class Counted(Registration):
    """A function that is called with numbers; then its source raises an error, or waits."""

    count: int = 1
    error: Exception | None = None


async def count(runner: Runner) -> None:
    """The source of such functions."""
    counted = runner.registration
    assert isinstance(counted, Counted)
    for number in range(counted.count):
        await runner.queue.put(Call(counted.path, str(number)))
    if counted.error is not None:
        raise counted.error
    await asyncio.Event().wait()


def counted(name: str, function: Callable[..., Any], **options: Any) -> Counted:
    return Counted(name=name, path="/a", function=function, **options)


@pytest.fixture
def hang() -> Iterator[Callable[[int], None]]:
    """A function that hangs until the test is over."""
    over = threading.Event()

    def hang(number: int) -> None:
        over.wait(TIMEOUT)

    yield hang
    over.set()


async def run(supervisor: Supervisor, condition: Callable[[], Any]) -> Outcome:
    """Run until the condition holds, then stop; returns how it ended."""
    running = asyncio.create_task(supervisor.run())
    await until(lambda: running.done() or condition())
    supervisor.stop()
    return await asyncio.wait_for(running, TIMEOUT)


async def test_stop_has_all_calls_made_that_wait() -> None:
    found: list[int] = []
    release = threading.Event()

    def handle(number: int) -> None:
        release.wait(TIMEOUT)
        found.append(number)

    supervisor = Supervisor([counted("a", handle, count=50)], count, grace=TIMEOUT)
    running = asyncio.create_task(supervisor.run())
    await until(lambda: len(supervisor._runners[0].queue) == 49)
    supervisor.stop()
    release.set()
    assert await asyncio.wait_for(running, TIMEOUT) == Outcome(stopped=True, abandoned=False, hanging=False)
    assert found == list(range(50))


async def test_stop_abandons_what_outlasts_the_grace(
    hang: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    found: list[int] = []
    supervisor = Supervisor([counted("hangs", hang, count=3), counted("b", found.append)], count, grace=0.01)
    outcome = await run(supervisor, lambda: found and len(supervisor._runners[0].queue) == 2)
    assert (outcome.stopped, outcome.abandoned) == (True, True)
    assert "hangs is abandoned: calls running: 1, waiting: 2" in caplog.text


async def test_second_stop_waits_no_longer(hang: Callable[[int], None]) -> None:
    supervisor = Supervisor([counted("hangs", hang)], count, grace=10 * TIMEOUT)
    running = asyncio.create_task(supervisor.run())
    await until(lambda: supervisor._runners[0].executions)
    supervisor.stop()
    supervisor.stop()
    assert (await asyncio.wait_for(running, TIMEOUT)).abandoned


async def test_thread_that_outlasts_its_call_is_told(hang: Callable[[int], None]) -> None:
    done = threading.Event()

    async def leave_behind(number: int) -> None:
        asyncio.get_running_loop().run_in_executor(None, hang, number)
        done.set()

    outcome = await run(Supervisor([counted("a", leave_behind)], count, grace=TIMEOUT), done.is_set)
    assert outcome == Outcome(stopped=True, abandoned=False, hanging=True)


@pytest.mark.parametrize("error", [ReservedChannel("Not this one."), RuntimeError("a fault")])
async def test_source_that_ends_ends_no_other(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    found: list[int] = []
    registrations = [counted("bad", print, count=0, error=error), counted("good", found.append, count=5)]
    outcome = await run(Supervisor(registrations, count, grace=TIMEOUT), lambda: len(found) == 5)
    assert outcome == Outcome(stopped=True, abandoned=False, hanging=False, ended=("bad",))
    assert str(error) in caplog.text
    assert caplog.messages[-1].startswith("Refused, or failed: bad (")


async def test_run_ends_by_itself_when_no_source_is_left() -> None:
    found: list[int] = []
    ends = counted("a", found.append, count=5, error=ReservedChannel("Not this one."))
    outcome = await Supervisor([ends], count, grace=TIMEOUT).run()
    assert outcome == Outcome(stopped=False, abandoned=False, hanging=False, ended=("a",))
    assert len(found) == 5


async def test_run_ends_with_the_first_source_if_that_is_wanted() -> None:
    found: list[int] = []
    registrations = [counted("a", found.append), counted("bad", print, count=0, error=ReservedChannel("Not this one."))]
    outcome = await asyncio.wait_for(Supervisor(registrations, count, grace=TIMEOUT, fail_fast=True).run(), TIMEOUT)
    assert (outcome.stopped, outcome.ended) == (False, ("bad",))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Forbidden("May not listen here."), "a: the server refuses it: 403 forbidden. May not listen here."),
        (Refused("Is it there?", status=404), "a: the server refuses it: 404 refused. Is it there?"),
    ],
)
async def test_refusal_is_logged_with_what_to_do(error: Refused, line: str, caplog: pytest.LogCaptureFixture) -> None:
    await Supervisor([counted("a", print, count=0, error=error)], count, grace=TIMEOUT).run()
    assert line in caplog.messages


async def test_slow_calls_are_looked_for(hang: Callable[[int], None], caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor([counted("hangs", hang, slow_after=0.01)], count, grace=0.01)
    await run(supervisor, lambda: "hangs: a call for /a has taken" in caplog.text)
    assert "over.wait(TIMEOUT)" in caplog.text
