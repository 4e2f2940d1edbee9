from __future__ import annotations

import base64
import datetime
import decimal
import json
import re
import time
import uuid
from typing import Any

import pytest
from autobahn.websocket.protocol import PreparedMessage
from django.test import override_settings
from django.utils.functional import lazystr
from hypothesis import given, settings
from hypothesis import strategies as st

from eventcast.engine import messages
from eventcast.engine.encoders import (
    EVENT_CHUNKS,
    EVENTS,
    FRAMES,
    LINE_CHUNKS,
    LINE_EVENTS,
    LINE_FRAMES,
    LINE_TEXTS,
    LINES,
    Batch,
    Encoder,
)
from eventcast.engine.messages import Message
from eventcast.exceptions import InvalidEventName, InvalidMessage, MessageTooLarge
from tests.fakes import frames_in

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1024 * 1024]

text_or_bytes = st.text(st.characters(exclude_categories=["Cs"])) | st.binary()

# --- Message and Batch ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_frame_of_text_holds_the_payload(size: int) -> None:
    assert list(frames_in(Message("x" * size).frame())) == [(1, b"x" * size)]


@pytest.mark.parametrize("size", SIZES)
def test_frame_of_bytes_holds_the_payload(size: int) -> None:
    assert list(frames_in(Message(b"\xff" * size).frame())) == [(2, b"\xff" * size)]


@pytest.mark.parametrize("size", SIZES)
def test_frame_is_what_autobahn_would_send(size: int) -> None:
    prepared = PreparedMessage(b"x" * size, isBinary=True, applyMask=False, doNotCompress=True)
    assert messages.encode_frame(b"x" * size, binary=True) == prepared.payloadHybi


def test_frame_length_takes_the_shortest_form() -> None:
    assert [len(Message("x" * size).frame()) - size for size in SIZES] == [2, 2, 2, 4, 4, 4, 10, 10]


def test_payload_of_text_is_utf8() -> None:
    assert Message("张三").payload == "张三".encode()


def test_binary_tells_text_from_bytes() -> None:
    assert (Message("").binary, Message(b"").binary) == (False, True)


def test_repr_hides_the_contents() -> None:
    assert "secret" not in repr(Message("secret"))


@given(st.lists(text_or_bytes, min_size=1, max_size=5))
def test_piece_holds_all_messages_in_order(data: list[str | bytes]) -> None:
    piece = Batch([Message(item) for item in data]).piece(FRAMES)
    expected = [(1, item.encode()) if isinstance(item, str) else (2, item) for item in data]
    assert list(frames_in(piece.data)) == expected


@pytest.mark.parametrize("encoder", [FRAMES, EVENTS, EVENT_CHUNKS, LINES, LINE_CHUNKS])
def test_piece_of_an_encoder_is_made_once(encoder: Encoder) -> None:
    batch = Batch([Message("a"), Message("b")])
    assert batch.piece(encoder) is batch.piece(encoder)


@pytest.mark.parametrize(("plain", "chunks"), [(EVENTS, EVENT_CHUNKS), (LINES, LINE_CHUNKS)])
def test_chunked_piece_is_one_chunk_of_the_plain_one(plain: Encoder, chunks: Encoder) -> None:
    batch = Batch([Message("a" * 300), Message("b")])
    size, _, rest = batch.piece(chunks).data.partition(b"\r\n")
    assert rest == batch.piece(plain).data + b"\r\n"
    assert int(size, 16) == len(rest) - 2


@pytest.mark.parametrize(
    ("encoder", "before", "behind"),
    [
        (LINE_FRAMES, b"\x81\x43", b""),
        (LINE_TEXTS, b"", b""),
        (LINE_EVENTS, b"event: paid\ndata: ", b"\n\n"),
        (LINES, b"", b"\n"),
    ],
)
def test_encoder_of_lines_says_on_which_channel_a_message_came(encoder: Encoder, before: bytes, behind: bytes) -> None:
    message = Message(b"\xff", "/a", "paid")
    message.time = 1000000000.5
    line = encoder.encode([message])
    assert line.startswith(before)
    assert line.endswith(behind)
    record = json.loads(line.removeprefix(before))
    assert record == {"time": 1000000000.5, "channel": "/a", "event": "paid", "base64": "/w=="}


def test_batch_has_the_size_of_its_payloads() -> None:
    assert Batch([Message("é"), Message(b"123")]).size == 5


def test_batch_has_the_length_of_its_messages() -> None:
    assert len(Batch([Message("a"), Message("b")])) == 2


# --- streams ----------------------------------------------------------------------------------------------------------


def sse_data(event: bytes) -> str:
    """The data of one Server-Sent Event, parsed as the HTML standard says (section 9.2.6)."""
    assert event.endswith(b"\n\n")
    lines = re.split("\r\n|\r|\n", event.decode())
    assert lines.index("") == len(lines) - 2, "an empty line ends an event"
    data = [line.removeprefix("data:").removeprefix(" ") for line in lines if line.startswith("data:")]
    return "\n".join(data)


@pytest.mark.parametrize(
    "text", ["", "x", " x", "a\nb", "a\r\nb\rc", "\n", "\n\n", "data: x", ":x", "id: 5\n\nevent: y", "张三"]
)
def test_event_of_text_holds_its_lines(text: str) -> None:
    assert sse_data(Message(text).event()) == text.replace("\r\n", "\n").replace("\r", "\n")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
def test_event_of_text_round_trips(text: str) -> None:
    assert sse_data(Message(text).event()) == text


def test_event_of_bytes_is_base64_and_says_so() -> None:
    event = Message(b"\xff\n\n").event()
    assert event.startswith(b"event: binary\n")
    assert base64.b64decode(sse_data(event)) == b"\xff\n\n"


@given(text_or_bytes)
def test_line_round_trips(data: str | bytes) -> None:
    line = Message(data, "/a").line()
    record = json.loads(line)
    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
    assert record["data"] == data if isinstance(data, str) else base64.b64decode(record["base64"]) == data


def test_line_names_channel_and_time() -> None:
    before = time.time()
    message = Message("x", "/张")
    record = json.loads(message.line())
    assert record["channel"] == "/张"
    assert before - 0.001 <= record["time"] <= time.time() + 0.001


def test_message_from_the_layer_knows_its_channel() -> None:
    assert messages.from_layer(messages.to_layer("/a", ["x"]))[0].channel == "/a"


# --- what callers want to publish -------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["", "text", "张三", b"", b"\xff"])
def test_to_data_leaves_text_and_bytes(data: str | bytes) -> None:
    assert messages.to_data(data) is data


@pytest.mark.parametrize("data", [bytearray(b"\xff"), memoryview(b"\xff")])
def test_to_data_makes_bytes_of_buffers(data: Any) -> None:
    assert messages.to_data(data) == b"\xff"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"name": "张三", "n": 1}, '{"name":"张三","n":1}'),
        ([1, 2.5, None, True], "[1,2.5,null,true]"),
        (None, "null"),
        (7, "7"),
        ("", ""),
        ({}, "{}"),
        (datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone.utc), '"2024-02-29T12:30:00Z"'),
        (datetime.date(2024, 2, 29), '"2024-02-29"'),
        (datetime.timedelta(seconds=90), '"P0DT00H01M30S"'),
        (decimal.Decimal("1.10"), '"1.10"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (lazystr("lazy"), '"lazy"'),
    ],
)
def test_to_data_makes_compact_json_of_the_rest(data: Any, expected: str) -> None:
    assert messages.to_data(data) == expected


def circle() -> list[Any]:
    inside: list[Any] = []
    inside.append(inside)
    return inside


@pytest.mark.parametrize("data", [object(), {1, 2}, float("nan"), float("inf"), circle(), {(1, 2): 3}, {"a": b"b"}])
def test_to_data_refuses_what_has_no_json_form(data: Any) -> None:
    with pytest.raises(InvalidMessage, match="no JSON form"):
        messages.to_data(data)


def test_to_data_refuses_what_is_nested_too_deeply() -> None:
    data: list[Any] = []
    for _ in range(100_000):
        data = [data]
    with pytest.raises(InvalidMessage):
        messages.to_data(data)


# --- limits -----------------------------------------------------------------------------------------------------------


@override_settings(EVENTCAST={"MAX_MESSAGE_SIZE": 6})
@pytest.mark.parametrize("data", ["", b"", "x" * 6, b"x" * 6, "张三", "é" * 3])
def test_check_data_takes_what_fits(data: str | bytes) -> None:
    assert messages.check_data(data) is data


@override_settings(EVENTCAST={"MAX_MESSAGE_SIZE": 6})
@pytest.mark.parametrize("data", ["x" * 7, b"x" * 7, "张三x", "é" * 4, "张" * 7])
def test_check_data_refuses_a_byte_more(data: str | bytes) -> None:
    with pytest.raises(MessageTooLarge, match=r"MAX_MESSAGE_SIZE"):
        messages.check_data(data)


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\udcff"])  # noqa: PT014
def test_check_data_refuses_surrogates(text: str) -> None:
    with pytest.raises(InvalidMessage, match="surrogates"):
        messages.check_data(text)


@settings(deadline=None)
@given(st.text(), st.integers(0, 20))
def test_check_data_passes_only_what_has_a_payload_within_the_limit(text: str, limit: int) -> None:
    with override_settings(EVENTCAST={"MAX_MESSAGE_SIZE": limit}):
        try:
            messages.check_data(text)
        except InvalidMessage:
            return
        assert len(Message(text).payload) <= limit


# --- names of events --------------------------------------------------------------------------------------------------


def test_event_has_the_name_in_its_own_field() -> None:
    assert Message("a\nb", "/a", "paid").event() == b"event: paid\ndata: a\ndata: b\n\n"


def test_binary_event_has_its_own_name_where_it_has_one() -> None:
    assert Message(b"\0", "/a", "paid").event() == b"event: paid\ndata: AA==\n\n"


def test_line_has_the_name_only_where_there_is_one() -> None:
    assert json.loads(Message("x", "/a", "paid").line())["event"] == "paid"
    assert "event" not in json.loads(Message("x", "/a").line())


def test_frame_does_not_show_the_name() -> None:
    assert Message("x", "/a", "paid").frame() == Message("x", "/a").frame()


@pytest.mark.parametrize("name", ["", "paid", "order paid", "ö" * 64, "x" * 128, "a:b", "\t", "张三"])
def test_check_event_name_passes_names_of_one_line(name: str) -> None:
    assert messages.check_event_name(name) == name


@pytest.mark.parametrize("name", ["a\nb", "\r", "a\0", "x" * 129, "ö" * 65, "\ud800"])
def test_check_event_name_refuses_what_no_event_can_be_called(name: str) -> None:
    with pytest.raises(InvalidEventName, match="event's name"):
        messages.check_event_name(name)


@given(st.text())
def test_name_that_passes_is_one_field_of_an_event(name: str) -> None:
    try:
        messages.check_event_name(name)
    except InvalidEventName:
        return
    lines = Message("x", "/a", name).event().decode().split("\n")
    assert lines[-3:] == ["data: x", "", ""]
    assert len(lines) == (4 if name else 3)


# --- the channel layer ------------------------------------------------------------------------------------------------


@given(st.lists(text_or_bytes))
def test_layer_message_round_trips(data: list[str | bytes]) -> None:
    received = messages.from_layer(messages.to_layer("/a", data))
    assert [message.data for message in received] == data


def test_layer_message_carries_the_name_of_the_event() -> None:
    sent = messages.to_layer("/a", ["x", "y"], "paid")
    assert [message.event_name for message in messages.from_layer(sent)] == ["paid", "paid"]


def test_layer_message_has_a_type_as_channels_wants() -> None:
    assert messages.to_layer("/a", [])["type"] == "eventcast.messages"


def test_layer_message_holds_plain_types_only() -> None:
    sent = json.loads(json.dumps(messages.to_layer("/a", iter(["x"]))))
    assert sent == {"type": "eventcast.messages", "channel": "/a", "messages": ["x"], "time": sent["time"]}


def test_message_has_the_same_line_in_all_processes() -> None:
    # A client that reads two streams for a moment knows by it what comes twice.
    sent = messages.to_layer("/a", ["x"])
    first, second = [messages.from_layer(sent)[0].line() for _ in range(2)]
    assert first == second
