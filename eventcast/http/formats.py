"""The two formats of streams: Server-Sent Events, and lines of JSON."""

from __future__ import annotations

import random
from dataclasses import dataclass

from eventcast.engine.encoders import EVENT_CHUNKS, EVENTS, LINE_CHUNKS, LINES, Encoder

SSE, NDJSON = "text/event-stream", "application/x-ndjson"

KEEP_ALIVE = 15.0
"""Seconds of silence after which a line without meaning is sent: proxies close silent connections (HTML standard)."""

RETRY = (1.0, 5.0)
"""Seconds after which an EventSource reconnects. Each gets a random time, so that not all come at once."""


@dataclass(frozen=True)
class Format:
    """One of the two kinds of streams.

    :param name: the name of the transport in the admin.
    :param plain: the encoder of messages; ``chunks``, the encoder for a body that is sent in chunks.
    :param keep_alive: a line without meaning, sent after silence.
    """

    name: str
    content_type: str
    plain: Encoder
    chunks: Encoder
    keep_alive: bytes

    def greeting(self) -> bytes:
        """The first bytes of a stream."""
        # No blank line follows retry: some clients would read an event without data.
        return b"retry: %d\n" % (1000 * random.uniform(*RETRY)) if self.name == "sse" else b"\n"


FORMATS = {
    SSE: Format("sse", SSE, EVENTS, EVENT_CHUNKS, b":\n"),
    NDJSON: Format("ndjson", NDJSON, LINES, LINE_CHUNKS, b"\n"),
}
