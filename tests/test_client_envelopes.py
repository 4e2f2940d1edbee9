"""Frames of a pattern's subscription."""

from __future__ import annotations

import pytest

from eventcast.client.envelopes import decode_frame
from eventcast.exceptions import UndecodableMessage


@pytest.mark.parametrize(
    "frame", ["", "{}", "[]", '{"channel": 1, "data": ""}', '{"channel": "/a", "base64": "."}', b"\xff"]
)
def test_decode_frame_refuses_what_is_none(frame: str | bytes) -> None:
    with pytest.raises(UndecodableMessage):
        decode_frame(frame)


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        ('{"time": 1.5, "channel": "/张", "data": "x"}', ("/张", "x")),
        ('{"time": 1.5, "channel": "/a", "base64": "AP8="}', ("/a", b"\x00\xff")),
    ],
)
def test_decode_frame_returns_channel_and_message(frame: str, found: tuple[str, str | bytes]) -> None:
    assert decode_frame(frame) == found
