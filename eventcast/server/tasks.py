"""Coroutines that mostly have nothing to wait for: run at once, without a task, which would cost as much as they do."""

from __future__ import annotations

import asyncio
import functools
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

_tasks: set[asyncio.Task[None]] = set()
"""The event loop itself keeps only weak references."""


def run_at_once(
    coroutine: Coroutine[Any, Any, None], on_error: Callable[[BaseException], None], *, eager: bool
) -> None:
    """Run a coroutine to its first wait, and the rest of it in a task. ``on_error`` gets the exception that ends it.

    :param eager: False to run all of it in a task, as code needs that asks for its task (``asyncio.timeout()`` does).
    """
    if eager:
        try:
            awaited = coroutine.send(None)
        except StopIteration:
            return
        except Exception as error:
            on_error(error)
            return
        coroutine = _continue(coroutine, awaited)
    task = asyncio.get_running_loop().create_task(coroutine)
    _tasks.add(task)
    task.add_done_callback(functools.partial(_done, on_error))


def _done(on_error: Callable[[BaseException], None], task: asyncio.Task[None]) -> None:
    _tasks.discard(task)
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    if error is not None:
        on_error(error)


@types.coroutine
def _continue(coroutine: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """Go on with a coroutine that waits for a future."""
    step: Callable[[], Any] = functools.partial(coroutine.send, None)
    while True:
        try:
            yield awaited
        except BaseException as error:
            step = functools.partial(coroutine.throw, error)
        try:
            awaited = step()
        except StopIteration:
            return
        step = functools.partial(coroutine.send, None)
