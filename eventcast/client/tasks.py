"""Coroutines that run together, and end together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def until_one_ends(*work: Coroutine[Any, Any, object]) -> None:
    """Run coroutines at the same time until one ends or this is cancelled; cancel the others, and wait for their end.

    Raises what one of them raised. (``asyncio.gather`` leaves the others running. Waiting for them as well would cancel
    them twice, and interrupt their clean-up.)
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
