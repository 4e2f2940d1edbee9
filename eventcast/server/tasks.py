"""Coroutines that mostly have nothing to wait for: run at once, without a task, which would cost as much as they do."""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

Result = TypeVar("Result")

_tasks: set[asyncio.Task[Any]] = set()
"""The event loop itself keeps only weak references."""


def run_at_once(
    coroutine: Coroutine[Any, Any, Result],
    then: Callable[[Result], None],
    on_error: Callable[[BaseException], None],
) -> None:
    """Run a coroutine to its first wait, and the rest of it in a task. What asks for its task before that, as
    ``asyncio.timeout()`` does, has to run in one of its own, see ``eventcast.engine.background.in_task``.

    :param then: gets what the coroutine returns; ``on_error``, the exception that ends it.
    """
    context = contextvars.copy_context()
    try:
        awaited = context.run(coroutine.send, None)
    except StopIteration as end:
        result: Result = end.value
    except Exception as error:
        on_error(error)
        return
    else:

        def done(task: asyncio.Task[Result]) -> None:
            _tasks.discard(task)
            try:
                then(task.result())
            except (Exception, asyncio.CancelledError) as error:
                on_error(error)

        task = context.run(asyncio.get_running_loop().create_task, _continue(coroutine, awaited))
        _tasks.add(task)
        task.add_done_callback(done)
        return
    then(result)


@types.coroutine
def _continue(coroutine: Coroutine[Any, Any, Result], awaited: Any) -> Generator[Any, Any, Result]:
    """Go on with a coroutine that waits for a future."""
    try:
        while True:
            try:
                yield awaited
            except BaseException as error:
                awaited = coroutine.throw(error)
            else:
                awaited = coroutine.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
