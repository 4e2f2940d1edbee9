"""Tools that run until they are told to end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Iterable
from typing import Any

from eventcast.client.tasks import until_one_ends


async def until_done(done: asyncio.Event, work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do the work until ``done`` is set, SIGTERM comes, or one of it ends; raises what one of it raised."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows
        loop.add_signal_handler(signal.SIGTERM, done.set)
    await until_one_ends(done.wait(), *work)
