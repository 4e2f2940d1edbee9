"""Learning that the process begins to stop, where a server of another project waits for open streams for ever.

uvicorn and granian wait until each response has ended, and ASGI has no event that tells an application about it. So the
handlers of the signals that stop a server are wrapped: streams end first, and then the server's own handler runs.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from eventcast.engine.closing import GOING_AWAY
from eventcast.engine.hub import Hub, current_hub
from eventcast.engine.subscribers import Subscriber

SIGNALS = ("SIGTERM", "SIGINT", "SIGBREAK")
"""Those that stop uvicorn and granian; the last one on Windows."""


class Wrapped:
    """A handler of a signal that ends streams before it does what it did before."""

    def __init__(self, handler: Callable[..., Any], hub: Hub, kind: type[Subscriber]) -> None:
        self.handler = handler
        self.hub = hub
        self.kind = kind

    def __call__(self, *arguments: Any) -> Any:
        self.hub.call(_end, self.hub, self.kind)
        return self.handler(*arguments)


def end_when_stopping(kind: type[Subscriber]) -> None:
    """Have the subscribers of one kind closed when a signal stops the server. Safe to call again and again.

    Nothing happens where the event loop does not run in the main thread, which alone may handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    hub = current_hub()
    for name in SIGNALS:
        number = getattr(signal, name, None)
        handler = None if number is None else signal.getsignal(number)
        if callable(handler) and not (isinstance(handler, Wrapped) and handler.hub is hub):
            signal.signal(number, Wrapped(handler, hub, kind))  # type: ignore[arg-type]


def _end(hub: Hub, kind: type[Subscriber]) -> None:
    hub.stopping = True
    for subscriber in hub.subscribers():
        if isinstance(subscriber, kind):
            subscriber.close(GOING_AWAY)
            subscriber.leave()
