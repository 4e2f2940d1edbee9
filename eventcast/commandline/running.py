"""Tools that run until they are stopped, and the shell commands that they run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Coroutine, Iterable
from typing import Any

from eventcast.client.watching import until_one_ends
from eventcast.commandline import say

LOOK = 0.02
"""Seconds between two looks whether a command has ended with all that it has started."""


async def until_done(done: asyncio.Event, work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run coroutines until ``done`` is set, SIGTERM comes, or one of them ends; raises what one of them raised."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows
        loop.add_signal_handler(signal.SIGTERM, done.set)
    await until_one_ends(done.wait(), *work)


async def execute(command: str, what: str, variables: dict[str, str], data: bytes = b"", *, grace: float = 0.0) -> None:
    """Run a shell command; tell it on standard error if the command cannot run, or fails.

    :param what: names the command in these lines.
    :param variables: added to its environment.
    :param data: its standard input.
    :param grace: seconds that the command has to end when this is cancelled.
    """
    # A file, because a pipe could be full, and asyncio waits until all that the command has started closes it.
    with tempfile.TemporaryFile() as standard_input:
        standard_input.write(data)
        standard_input.seek(0)
        try:
            process = await asyncio.create_subprocess_shell(
                command,
                stdin=standard_input,
                env=os.environ | variables,
                start_new_session=True,  # a process group: it is ended with all processes that the shell has started
            )
        except (OSError, ValueError) as error:  # too many processes, or a channel's name with a zero byte
            say(f"{what} could not be run: {error}")
            return
    try:
        await process.wait()
    except asyncio.CancelledError:
        await _end(process, what, grace)
        raise
    if process.returncode:
        say(f"{what} failed with {process.returncode}: {command}")


async def _end(process: asyncio.subprocess.Process, what: str, grace: float) -> None:
    try:
        if not await _has_ended(process, grace):
            say(f"{what} is still running, and is ended.")
            _signal(process, signal.SIGTERM)
            await _has_ended(process, 1.0)
    finally:  # also when Ctrl-C comes once more
        _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    await process.wait()


async def _has_ended(process: asyncio.subprocess.Process, seconds: float) -> bool:
    """Wait for the end of a command and of all that it has started; returns whether they have ended in time."""
    deadline = time.monotonic() + seconds
    while _signal(process, 0):
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(LOOK)
    return True


def _signal(process: asyncio.subprocess.Process, number: int) -> bool:
    """Send a signal to a command and to all that it has started, 0 for none; returns whether there is any of them."""
    if not hasattr(os, "killpg"):  # Windows, which knows no groups of processes
        if number and process.returncode is None:
            process.kill()
        return process.returncode is None
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # macOS: PermissionError for a process that has ended
        return False
    return True
