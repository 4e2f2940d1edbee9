"""The commands that a watchdog runs: one at a time, in order, without stopping the watch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventcast.client.watching import Heartbeat
from eventcast.commandline.watchdog import Alarms
from tests.live.waiting import TIMEOUT, until

SILENT = Heartbeat("/hb/a $(b)", alive=False, silence=30.04)
ALIVE = Heartbeat("/hb/a $(b)", alive=True, silence=42.0)

Capture = pytest.CaptureFixture[str]


@contextlib.asynccontextmanager
async def running(alarms: Alarms) -> AsyncIterator[None]:
    task = asyncio.create_task(alarms.run())
    yield
    task.cancel()
    await asyncio.wait([task], timeout=TIMEOUT)
    assert task.cancelled()


class Said:
    """What was written to one of the outputs so far."""

    def __init__(self, capture: Capture, which: str) -> None:
        self.text, self._capture, self._which = "", capture, which

    def __call__(self) -> str:
        self.text += getattr(self._capture.readouterr(), self._which)
        return self.text


async def test_commands_run_in_order_and_know_what_for(capfd: Capture) -> None:
    alarms, said = Alarms('echo "$EVENTCAST_CHANNEL|$EVENTCAST_STATUS|$EVENTCAST_SILENCE"'), Said(capfd, "out")
    async with running(alarms):
        alarms.add(SILENT)
        alarms.add(ALIVE)
        await until(lambda: said().count("\n") == 2)
    assert said() == "/hb/a $(b)|silent|30.0\n/hb/a $(b)|alive|42.0\n"


async def test_commands_go_on_after_one_that_fails(capfd: Capture) -> None:
    alarms, said = Alarms("exit 3"), Said(capfd, "err")
    async with running(alarms):
        alarms.add(SILENT)
        alarms.add(ALIVE)
        await until(lambda: said().count("\n") == 2)
    assert "the command for silent failed with 3" in said()
    assert "the command for alive failed with 3" in said()


async def test_commands_go_on_after_one_that_cannot_be_run(capfd: Capture) -> None:
    alarms, said = Alarms("true"), Said(capfd, "err")
    async with running(alarms):
        alarms.add(Heartbeat("/zero\0byte", alive=False, silence=1.0))
        await until(lambda: "could not be run" in said())
        alarms.add(Heartbeat("/zero\0byte", alive=True, silence=1.0))
        await until(lambda: said().count("could not be run") == 2)


async def test_commands_say_that_one_waits_for_another(capfd: Capture) -> None:
    alarms, said = Alarms("echo begun >&2; sleep 60", grace=0.0), Said(capfd, "err")
    async with running(alarms):
        alarms.add(SILENT)
        await until(lambda: "begun" in said())
        alarms.add(ALIVE)
        assert "/hb/a $(b): the command for silent is still running after " in said()
    assert said().count("begun") == 1
    assert "the command for alive did not run" in said()


async def test_commands_let_the_running_one_end_by_itself(capfd: Capture) -> None:
    alarms, said = Alarms("echo begun; sleep 0.1; echo done"), Said(capfd, "out")
    async with running(alarms):
        alarms.add(SILENT)
        await until(lambda: "begun" in said())
    assert said() == "begun\ndone\n"


async def test_commands_end_all_that_the_shell_has_started(capfd: Capture) -> None:
    alarms, said = Alarms("sleep 60 & echo $!; wait", grace=0.0), Said(capfd, "out")
    async with running(alarms):
        alarms.add(SILENT)
        await until(lambda: said().endswith("\n"))
    await until(lambda: has_ended(int(said())))


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
