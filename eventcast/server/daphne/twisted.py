"""Frames through Twisted's transport, which buffers them and may be wrapped in something, such as TLS."""

from __future__ import annotations

from typing import Any

from eventcast.engine.messages import Batch
from eventcast.engine.subscribers import Subscriber, Transport
from eventcast.server.daphne.descriptors import pending


class TwistedTransport(Transport):
    """Frames through Twisted's transport, whatever it is wrapped in; what it could not send is its buffers' size."""

    name = "twisted"

    def __init__(self, protocol: Any, descriptor: Any) -> None:
        self._protocol = protocol
        self._descriptor = descriptor
        self._early: list[Batch] | None = []
        """What was written before the handshake was over."""
        self._early_size = 0
        self._goodbye: tuple[int, str] | None = None
        """The code and reason of a close that has to wait for the end of the handshake."""

    @property
    def pending(self) -> int:  # type: ignore[override]
        return pending(self._descriptor) + self._early_size

    @property
    def is_open(self) -> bool:
        """Whether frames may be written: not before the handshake is over, nor after a close frame."""
        protocol, descriptor = self._protocol, self._descriptor
        return protocol.state == protocol.STATE_OPEN and descriptor.connected and not descriptor.disconnecting

    def open(self, subscriber: Subscriber) -> None:
        early, self._early, self._early_size = self._early or (), None, 0
        for batch in early:
            self.write(batch)
        if self._goodbye is not None:
            self.close(*self._goodbye)

    def write(self, batch: Batch) -> bool:
        if self._early is not None:
            self._early.append(batch)
            self._early_size += len(batch.frames)
        elif not self.is_open:
            return False
        elif self._protocol._perMessageCompress is None:
            self._protocol.transport.write(batch.frames)
        else:  # Daphne never agrees to compression, but a server built on it may.
            for message in batch.messages:
                self._protocol.sendMessage(message.payload, message.binary)
        return True

    def close(self, code: int, reason: str) -> None:
        # Not through ASGI's close, see mending.py. autobahn gives the peer a second to answer, then resets.
        self.closed = True
        if self._early is not None:
            self._goodbye = code, reason
        elif self.is_open:
            self._protocol.sendCloseFrame(code=code, reasonUtf8=reason.encode()[:123])

    def release(self) -> None:
        self._early, self._goodbye = [], None
