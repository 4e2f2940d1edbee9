"""Tools that run until they are stopped, and the shell commands that they run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine, Iterable
from typing import Any

from eventcast.client.tasks import until_one_ends
from eventcast.commandline import say


async def until_done(done: asyncio.Event, work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run coroutines until ``done`` is set, SIGTERM comes, or one of them ends; raises what one of them raised."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows
        loop.add_signal_handler(signal.SIGTERM, done.set)
    await until_one_ends(done.wait(), *work)


async def execute(
    command: str, what: str, variables: dict[str, str], data: bytes | None = None, *, grace: float = 0.0
) -> None:
    """Run a shell command; tell it on standard error if the command cannot run, or fails.

    :param what: names the command in these lines.
    :param variables: added to its environment.
    :param data: its standard input.
    :param grace: seconds that the command has to end when this is cancelled.
    """
    try:
        process = await asyncio.create_subprocess_shell(
            command,
            stdin=asyncio.subprocess.DEVNULL if data is None else asyncio.subprocess.PIPE,
            env=os.environ | variables,
            start_new_session=True,  # a process group: it is ended with all processes that the shell has started
        )
    except (OSError, ValueError) as error:  # too many processes, or a channel's name with a zero byte
        say(f"{what} could not be run: {error}")
        return
    try:
        await process.communicate(data)
    except asyncio.CancelledError:
        await _end(process, what, grace)
        raise
    if process.returncode:
        say(f"{what} failed with {process.returncode}: {command}")


async def _end(process: asyncio.subprocess.Process, what: str, grace: float) -> None:
    for seconds, name in ((grace, "SIGTERM"), (1.0, "SIGKILL")):
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), seconds)
            return
        say(f"{what} is still running, and is ended.")
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, getattr(signal, name))
            else:  # Windows
                process.kill()
    await process.wait()
