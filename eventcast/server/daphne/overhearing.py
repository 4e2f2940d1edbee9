"""What comes from a peer that only listens: counted as it comes, and nothing of it kept.

Daphne tells an application of whole messages only. One that never ends, in frames without number or of a megabyte,
would be read and kept for as long as its peer goes on.
"""

from __future__ import annotations

from typing import Any

from eventcast.engine.subscribers import Count

LATE = 16 * 1024
"""Bytes that are still read of a peer that has said too much: its answer to the close frame may be among them."""


class Overhearing:
    """The data frames of one connection. Made when the first of them comes, which for most is never.

    :param protocol: Daphne's.
    :param count: is told how many frames, and bytes in them, have come since it was told last; says whether that is
        still not too much.
    """

    def __init__(self, protocol: Any, count: Count) -> None:
        self._protocol = protocol
        self._count = count
        self._frames = self._bytes = 0
        self._late = 0

    def go_on(self) -> None:
        """Something was read, which autobahn has gone through."""
        protocol = self._protocol
        for name in ("frame_data", "message_data"):
            if pieces := protocol.__dict__.get(name):
                pieces.clear()
        frames, size = frames_and_bytes(protocol)
        new_frames, new_bytes = frames - self._frames, size - self._bytes
        self._frames, self._bytes = frames, size
        if (new_frames or new_bytes) and not self._count(new_frames, new_bytes):
            protocol.dataReceived = self._after_all

    def _after_all(self, data: bytes) -> None:
        # autobahn cuts the connection off a second after the close frame. Until then all this is worth no time.
        self._late += len(data)
        if self._late <= LATE:
            type(self._protocol).dataReceived(self._protocol, data)


def frames_and_bytes(protocol: Any) -> tuple[int, int]:
    """The data frames that have come to their end, and the bytes in data frames that have come."""
    statistics = protocol.trafficStats
    return statistics.incomingWebSocketFrames, statistics.incomingOctetsWebSocketLevel


def leave_unheard(payload: bytes, binary: bool) -> None:
    """In place of a protocol's ``onMessage``: of messages whose pieces are gone nobody needs to hear."""
