"""Tools that run until they are told to end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Iterable
from typing import Any


async def until_done(done: asyncio.Event, work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do the work until ``done`` is set, SIGTERM comes, or one of it ends; the rest is cancelled, and waited for.

    Raises what one of them raised.
    """
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows
        loop.add_signal_handler(signal.SIGTERM, done.set)
    waiting = asyncio.create_task(done.wait())
    tasks = [asyncio.create_task(each) for each in work]
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in [waiting, *tasks]:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
