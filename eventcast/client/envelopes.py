"""What a pattern's subscription gets: messages, each with the channel it came on."""

from __future__ import annotations

import base64
import json

from eventcast.exceptions import UndecodableMessage


def decode_frame(frame: str | bytes) -> tuple[str, str | bytes]:
    """The channel and the message of a frame of a pattern's subscription.

    :raises UndecodableMessage: it is none.
    """
    try:
        record = json.loads(frame)
        data = record["data"] if "data" in record else base64.b64decode(record["base64"], validate=True)
        channel = record["channel"]
    except (ValueError, LookupError, TypeError):
        channel = data = None
    if not isinstance(channel, str) or not isinstance(data, (str, bytes)):
        raise UndecodableMessage(f"A frame of {len(frame)} characters is no message of a pattern's subscription.")
    return channel, data
