"""Learning that the process begins to stop, where a server of another project waits for open streams for ever.

uvicorn and granian wait until each response has ended, and ASGI has no event that tells an application about it. So the
handlers of the signals that stop a server are wrapped: streams end first, and then the server's own handler runs.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from eventcast.engine.hub import Hub, current_hub
from eventcast.engine.subscribers import Subscriber

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)]
"""Those that stop uvicorn and granian; the last one on Windows."""


def end_when_stopping(*kinds: type[Subscriber]) -> None:
    """Have the subscribers of these kinds closed when a signal stops the server. Safe to call again and again.

    Nothing happens where the event loop does not run in the main thread, which alone may handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    hub = current_hub()
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler) and getattr(handler, "ends_streams_of", None) is not hub:
            signal.signal(number, _ending_streams(hub, kinds, handler))


def _ending_streams(hub: Hub, kinds: tuple[type[Subscriber], ...], handler: Callable[..., Any]) -> Callable[..., Any]:
    def handle(*arguments: Any) -> Any:
        hub.call(hub.stop, *kinds)
        return handler(*arguments)

    handle.ends_streams_of = hub  # type: ignore[attr-defined]
    return handle
