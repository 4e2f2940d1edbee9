"""Waiting for what is to happen, instead of sleeping for as long as it may take."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

TIMEOUT = 20.0
"""Seconds until a wait is given up: far above what anything here takes, so that a slow machine fails no test."""


async def until(condition: Callable[[], Any], what: str = "the condition", timeout: float = TIMEOUT) -> Any:
    """Wait until ``condition()``, awaited if need be, is true; returns its value."""
    deadline = asyncio.get_running_loop().time() + timeout
    delay = 0.001
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"{what}: not so after {timeout} s")
        await asyncio.sleep(delay)
        delay = min(0.05, delay * 2)
