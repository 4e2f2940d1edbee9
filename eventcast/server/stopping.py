"""Learning that the process begins to stop, where a server of another project waits for open streams for ever.

uvicorn and granian wait until each response has ended, and ASGI has no event that tells an application about it. So the
handlers of the signals that stop a server are wrapped: a loop of this process is told first, and then the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable
from typing import Any

SIGNALS = ("SIGTERM", "SIGINT", "SIGBREAK")
"""Those that stop uvicorn and granian; the last one on Windows."""


class Wrapped:
    """A handler of a signal that tells an event loop before it does what it did before."""

    def __init__(
        self, handler: Callable[..., Any], loop: asyncio.AbstractEventLoop, tell: Callable[[], object]
    ) -> None:
        self.handler = handler
        self.loop = loop
        self.tell = tell

    def __call__(self, *arguments: Any) -> Any:
        with contextlib.suppress(RuntimeError):  # closed: it has no subscribers
            self.loop.call_soon_threadsafe(self.tell)
        return self.handler(*arguments)


def tell_when_stopping(tell: Callable[[], object]) -> None:
    """Have a function called on the running event loop when a signal stops the server. Safe to call again and again.

    Nothing happens where the event loop does not run in the main thread, which alone may handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for name in SIGNALS:
        number = getattr(signal, name, None)
        handler = None if number is None else signal.getsignal(number)
        if callable(handler) and not (isinstance(handler, Wrapped) and handler.loop is loop):
            signal.signal(number, Wrapped(handler, loop, tell))  # type: ignore[arg-type]
