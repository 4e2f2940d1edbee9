"""What has come from a client and is not taken yet: bounded, by not reading on.

Daphne puts whatever comes into a queue without bound: a client that sends faster than its messages are published would
fill the memory with them. Here it is the kernel's buffers that fill, and then the client has to wait.
"""

from __future__ import annotations

from typing import Any, Protocol


class Queue(Protocol):
    """What is asked of the queue behind an ASGI ``receive``."""

    def put_nowait(self, event: dict[str, Any], /) -> None: ...

    def qsize(self) -> int: ...


class Source(Protocol):
    """What is asked of the connection (Twisted's ``IPushProducer``)."""

    def pauseProducing(self) -> Any: ...

    def resumeProducing(self) -> Any: ...


class Inbox:
    """Stands before a queue. As soon as more than one event waits in it nothing is read, until none does.

    So there is never more in it than one read from the socket brings. A client whose messages are taken one by one, as
    they come, costs nothing.

    :param queue: the queue.
    :param source: the connection whose events go into it.
    """

    def __init__(self, queue: Queue, source: Source) -> None:
        self._queue = queue
        self._source = source
        self.paused = False
        """Whether nothing is read for now."""

    def put_nowait(self, event: dict[str, Any]) -> None:
        """In place of the queue's own."""
        self._queue.put_nowait(event)
        if not self.paused and self._queue.qsize() > 1:
            self.paused = True
            self._source.pauseProducing()

    def taken(self) -> None:
        """An event was taken from the queue, and is done with."""
        if self.paused and not self._queue.qsize():
            self.paused = False
            self._source.resumeProducing()
