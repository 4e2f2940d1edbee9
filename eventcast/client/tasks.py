"""Coroutines that belong together: none of them is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def until_one_ends(*work: Coroutine[Any, Any, object]) -> None:
    """Do all of it at the same time until one of it ends, or this is cancelled; the rest is cancelled, and waited for.

    Raises what one of them raised. (``asyncio.gather`` leaves the others running; waiting for them as well, one would
    cancel them twice, and cut short what they do to end in good order.)
    """
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
