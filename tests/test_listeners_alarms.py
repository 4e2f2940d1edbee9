"""Alarms whose call raises: what is made again, how often, and what is not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from eventcast.client.watching import Heartbeat
from eventcast.listeners import Registration
from eventcast.listeners.alarms import DELAYS, Alarms
from eventcast.listeners.running import Runner
from tests.live.waiting import TIMEOUT, until

SILENT = Heartbeat("/a", alive=False, silence=30.0)
BACK = Heartbeat("/a", alive=True, silence=60.0)
NOW = (0.0, 0.0, 0.0)
NEVER = (10 * TIMEOUT,)

Supply = Callable[..., Any]


class Mailer:
    """What an alarm calls, and what fails at first.

    :param failures: calls that raise.
    """

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls: list[Heartbeat] = []

    def mail(self, heartbeat: Heartbeat) -> None:
        self.calls.append(heartbeat)
        if len(self.calls) <= self.failures:
            raise ConnectionRefusedError("no mail server")

    async def amail(self, heartbeat: Heartbeat) -> None:
        self.mail(heartbeat)


@pytest.fixture
async def supply() -> AsyncIterator[Callable[..., Alarms]]:
    """Starts what calls a function: ``supply(function, delays)``; ends it with the test."""
    async with contextlib.AsyncExitStack() as stack:

        def supply(function: Callable[..., Any], delays: tuple[float, ...]) -> Alarms:
            runner = Runner(Registration(name="app.alarm", path="/a", function=function, watches=True))
            runner.start()

            async def end() -> None:
                runner.queue.close()
                assert await asyncio.to_thread(runner.join, TIMEOUT)

            stack.push_async_callback(end)
            return Alarms(runner, delays=delays)

        yield supply


@pytest.mark.parametrize("function", [Mailer.mail, Mailer.amail], ids=lambda function: function.__name__)
async def test_alarm_that_raises_is_made_again(supply: Supply, function: Callable[..., Any]) -> None:
    mailer = Mailer(failures=2)
    supply(function.__get__(mailer), NOW).tell(SILENT)
    await until(lambda: mailer.calls == [SILENT] * 3)


async def test_alarm_that_returns_is_not_made_again(supply: Supply) -> None:
    mailer = Mailer(failures=0)
    alarms = supply(mailer.mail, NOW)
    alarms.tell(SILENT)
    alarms.tell(BACK)
    await until(lambda: BACK in mailer.calls)
    assert mailer.calls == [SILENT, BACK]


async def test_alarm_that_keeps_raising_is_given_up(supply: Supply, caplog: pytest.LogCaptureFixture) -> None:
    mailer = Mailer(failures=100)
    supply(mailer.mail, NOW).tell(SILENT)
    await until(lambda: "app.alarm: the call for /a has failed 4 times, and is given up." in caplog.messages)
    assert mailer.calls == [SILENT] * 4


async def test_alarm_is_not_made_again_after_another_of_its_channel(
    supply: Supply, caplog: pytest.LogCaptureFixture
) -> None:
    mailer = Mailer(failures=1)
    alarms = supply(mailer.mail, NOW)
    alarms.tell(SILENT)
    alarms.tell(BACK)
    await until(lambda: "is not repeated: its alarm is no longer true" in caplog.text)
    await until(lambda: mailer.calls == [SILENT, BACK])


async def test_other_alarms_do_not_wait_for_one_that_is_to_be_made_again(supply: Supply) -> None:
    mailer = Mailer(failures=1)
    alarms = supply(mailer.mail, NEVER)
    alarms.tell(SILENT)
    await until(lambda: mailer.calls)
    alarms.tell(BACK)
    await until(lambda: mailer.calls == [SILENT, BACK])


def test_alarm_is_made_again_for_a_minute() -> None:
    assert (len(DELAYS), sum(DELAYS)) == (3, 60.0)
