"""WebSocket frames as a server reads them: RFC 6455 section 5, rule by rule."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventcast.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    BrokenRule,
    FrameReader,
    unmask,
)

MAX_SIZE = 100_000
MASK = b"\x01\x02\x03\xff"

Frames = list[tuple[int, bytes]]


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, mask: bytes = MASK) -> bytes:
    """A frame of a client. Masked byte by byte, as the RFC writes it."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 0x10000:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes([0x80 * final | opcode]) + length + mask + masked


def read(data: bytes, *, discard: bool = False, max_size: int = MAX_SIZE) -> Frames:
    return list(FrameReader(max_size, discard=discard).feed(data))


def read_by_byte(data: bytes, *, discard: bool = False) -> Frames:
    reader = FrameReader(MAX_SIZE, discard=discard)
    return [found for byte in data for found in reader.feed(bytes([byte]))]


def code_of(data: bytes, *, discard: bool = False, max_size: int = MAX_SIZE) -> int:
    """The close code of the rule that is broken."""
    with pytest.raises(BrokenRule) as broken:
        read(data, discard=discard, max_size=max_size)
    return broken.value.code


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
def test_feed_yields_opcode_and_payload(opcode: int) -> None:
    assert read(frame(opcode, b"\x03\xe8abc")) == [(opcode, b"\x03\xe8abc")]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 0xFFFF, 0x10000, MAX_SIZE])
def test_feed_reads_each_form_of_a_length(size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    assert read(frame(BINARY, payload[:size])) == [(BINARY, payload[:size])]


@pytest.mark.parametrize("head", [b"\x82\xfe\x00\x01", b"\x82\xff" + b"\0" * 7 + b"\x01"])
def test_feed_refuses_a_length_in_more_bytes_than_it_needs(head: bytes) -> None:
    assert code_of(head + b"\0\0\0\0a") == 1002


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", MASK])
def test_feed_unmasks_by_any_mask(mask: bytes) -> None:
    assert read(frame(TEXT, b"abcdefg", mask=mask)) == [(TEXT, b"abcdefg")]


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_unmask_is_the_exclusive_or_of_each_byte(payload: bytes, mask: bytes) -> None:
    assert unmask(payload, mask) == bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def test_feed_yields_several_frames_at_once() -> None:
    data = frame(TEXT, b"a") + frame(PING) + frame(BINARY, b"b")
    assert read(data) == [(TEXT, b"a"), (PING, b""), (BINARY, b"b")]


def test_feed_joins_the_fragments_of_a_message() -> None:
    data = frame(TEXT, b"a", final=False) + frame(CONTINUATION, b"", final=False) + frame(CONTINUATION, b"b")
    assert read(data) == [(TEXT, b"ab")]


def test_feed_yields_control_frames_between_fragments() -> None:
    data = frame(BINARY, b"a", final=False) + frame(PING, b"p") + frame(CONTINUATION, b"b") + frame(PONG)
    assert read(data) == [(PING, b"p"), (BINARY, b"ab"), (PONG, b"")]


def test_feed_joins_very_many_fragments() -> None:
    data = frame(TEXT, b"a", final=False) + frame(CONTINUATION, b"b", final=False) * 5000 + frame(CONTINUATION, b"c")
    assert read(data) == [(TEXT, b"a" + b"b" * 5000 + b"c")]


def test_feed_begins_anew_after_a_message_of_fragments() -> None:
    message = frame(TEXT, b"a", final=False) + frame(CONTINUATION, b"b")
    assert read(message + message) == [(TEXT, b"ab"), (TEXT, b"ab")]


@pytest.mark.parametrize("bit", [0x10, 0x20, 0x40])
@pytest.mark.parametrize("opcode", [TEXT, PING])
def test_reserved_bits_break_a_rule(bit: int, opcode: int) -> None:
    data = frame(opcode)
    assert code_of(bytes([data[0] | bit]) + data[1:]) == 1002


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcodes_break_a_rule(opcode: int) -> None:
    assert code_of(frame(opcode)) == 1002


@pytest.mark.parametrize("opcode", [TEXT, PING, CLOSE])
def test_frame_without_mask_breaks_a_rule(opcode: int) -> None:
    assert code_of(bytes([0x80 | opcode, 1]) + b"a") == 1002


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_control_frame_of_more_than_125_bytes_breaks_a_rule(opcode: int) -> None:
    assert code_of(frame(opcode, b"a" * 126)) == 1002


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_control_frame_in_fragments_breaks_a_rule(opcode: int) -> None:
    assert code_of(frame(opcode, final=False)) == 1002


def test_continuation_of_nothing_breaks_a_rule() -> None:
    assert code_of(frame(CONTINUATION, b"a")) == 1002


def test_continuation_after_the_last_fragment_breaks_a_rule() -> None:
    assert code_of(frame(TEXT, final=False) + frame(CONTINUATION) + frame(CONTINUATION)) == 1002


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_message_within_a_message_breaks_a_rule(opcode: int) -> None:
    assert code_of(frame(TEXT, final=False) + frame(opcode)) == 1002


def test_length_of_64_bits_breaks_a_rule() -> None:
    assert code_of(b"\x82\xff" + b"\xff" * 8) == 1002


@pytest.mark.parametrize("discard", [False, True])
def test_rules_of_fragments_hold_when_payload_is_thrown_away(discard: bool) -> None:
    assert code_of(frame(TEXT, b"a", final=False) + frame(TEXT, b"b"), discard=discard) == 1002
    assert code_of(frame(CONTINUATION, b"a"), discard=discard) == 1002


@pytest.mark.parametrize("discard", [False, True])
def test_message_of_the_largest_size_is_read(discard: bool) -> None:
    assert [opcode for opcode, _ in read(frame(TEXT, b"abc"), max_size=3, discard=discard)] == [TEXT]


@pytest.mark.parametrize("discard", [False, True])
@pytest.mark.parametrize(
    ("head", "max_size"), [(b"\x82\x84", 3), (b"\x82\xfe\x01\x00", 255), (b"\x82\xff" + b"\0" * 5 + b"\x01\0\0", 65535)]
)
def test_message_that_is_too_large_is_refused_by_its_head(head: bytes, max_size: int, discard: bool) -> None:
    assert code_of(head, max_size=max_size, discard=discard) == 1009


@pytest.mark.parametrize("discard", [False, True])
def test_fragments_that_are_too_large_together_are_refused(discard: bool) -> None:
    data = frame(TEXT, b"ab", final=False) + frame(CONTINUATION, b"cd")[:2]
    assert code_of(data, max_size=3, discard=discard) == 1009


def test_control_frames_count_towards_no_message() -> None:
    data = frame(TEXT, b"ab", final=False) + frame(PING, b"x" * 125) + frame(CONTINUATION, b"c")
    assert read(data, max_size=3) == [(PING, b"x" * 125), (TEXT, b"abc")]


def test_discard_yields_each_data_frame_without_its_payload() -> None:
    data = frame(TEXT, b"a", final=False) + frame(PING, b"p") + frame(CONTINUATION, b"b") + frame(BINARY, b"c")
    assert read(data, discard=True) == [(TEXT, b""), (PING, b"p"), (CONTINUATION, b""), (BINARY, b"")]


def test_discard_keeps_nothing_of_a_payload_that_is_still_coming() -> None:
    reader = FrameReader(MAX_SIZE, discard=True)
    list(reader.feed(frame(BINARY, b"a" * 50_000)[:40_000]))
    assert len(reader._buffer) == 0


@pytest.mark.parametrize("data", [frame(TEXT, b"abc"), frame(TEXT, final=False) + frame(CONTINUATION), frame(PING)])
@pytest.mark.parametrize("discard", [False, True])
def test_reader_is_idle_between_messages_only(data: bytes, discard: bool) -> None:
    reader = FrameReader(MAX_SIZE, discard=discard)
    states = []
    for byte in data:
        list(reader.feed(bytes([byte])))
        states.append(reader.idle)
    assert states == [False] * (len(data) - 1) + [True]


control = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))


def halves(text_and_cut: tuple[str, int]) -> list[bytes]:
    text, cut = text_and_cut
    return [text.encode()[:cut], text.encode()[cut:]]


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """Frames of messages, whole or in fragments, with control frames anywhere between."""
    data = b""
    for opcode, fragments in draw(
        st.lists(
            st.one_of(
                st.tuples(st.just(BINARY), st.lists(st.binary(max_size=200), min_size=1, max_size=4)),
                # Cut anywhere, within a character too.
                st.tuples(st.just(TEXT), st.tuples(st.text(max_size=60), st.integers(0, 240)).map(halves)),
            )
        )
    ):
        for index, payload in enumerate(fragments):
            for between in draw(st.lists(control, max_size=2)):
                data += frame(*between)
            mask = draw(st.binary(min_size=4, max_size=4))
            data += frame(0 if index else opcode, payload, final=index == len(fragments) - 1, mask=mask)
    return data


@given(conversations(), st.booleans())
def test_bytes_one_by_one_give_the_same_frames_as_all_at_once(data: bytes, discard: bool) -> None:
    assert read_by_byte(data, discard=discard) == read(data, discard=discard)


@given(conversations(), st.lists(st.integers(0, 2000)))
def test_bytes_in_any_pieces_give_the_same_frames_as_all_at_once(data: bytes, cuts: list[int]) -> None:
    reader = FrameReader(MAX_SIZE, discard=False)
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(bounds)]
    assert [found for piece in pieces for found in reader.feed(piece)] == read(data)


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_frames_or_break_a_rule(data: bytes, discard: bool) -> None:
    """The same frames and the same code, whether the bytes come one by one or all at once."""

    def outcome(pieces: list[bytes]) -> tuple[Frames, int]:
        reader, found = FrameReader(MAX_SIZE, discard=discard), []
        try:
            for piece in pieces:
                found.extend(reader.feed(piece))  # keeps what came before a rule is broken
        except BrokenRule as rule:
            return found, rule.code
        return found, 0

    assert outcome([bytes([byte]) for byte in data]) == outcome([data])


@pytest.mark.parametrize("reading", [read, read_by_byte])
@pytest.mark.parametrize(
    "pieces",
    [["张三".encode()], ["张".encode()[:1], "张三".encode()[1:4], "张三".encode()[4:]], [b"", b"\xc3", b"\xa9"], [b""]],
)
def test_discard_lets_text_pass_however_it_is_cut(reading: Callable[..., Frames], pieces: list[bytes]) -> None:
    opcodes = [TEXT] + [CONTINUATION] * (len(pieces) - 1)
    message = b"".join(
        frame(opcode, piece, final=number == len(pieces))
        for number, (opcode, piece) in enumerate(zip(opcodes, pieces, strict=True), 1)
    )
    assert reading(message + message, discard=True) == [(opcode, b"") for opcode in opcodes] * 2


@pytest.mark.parametrize("reading", [read, read_by_byte])
@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"\xff"),
        frame(TEXT, b"abc\xe5\xbc"),
        frame(TEXT, b"\xc3", final=False) + frame(CONTINUATION, b"a"),
        frame(TEXT, b"\xff", final=False),
        frame(TEXT, b"abcde\xff" + b"x" * 1000)[:20],
        frame(TEXT, b"\xc3", final=False) + frame(PING) + frame(CONTINUATION, b""),
    ],
)
def test_discard_refuses_text_that_is_not_utf8(reading: Callable[..., Frames], data: bytes) -> None:
    with pytest.raises(BrokenRule) as broken:
        reading(data, discard=True)
    assert broken.value.code == 1007


def test_discard_looks_at_no_binary_message() -> None:
    data = frame(BINARY, b"\xff", final=False) + frame(CONTINUATION, b"\xfe") + frame(BINARY, b"\xff")
    assert read_by_byte(data, discard=True) == [(BINARY, b""), (CONTINUATION, b""), (BINARY, b"")]


@pytest.mark.parametrize("discard", [True, False])
def test_wrong_byte_of_a_text_ends_it_before_its_frame_is_there(discard: bool) -> None:
    reader, data = FrameReader(MAX_SIZE, discard=discard), frame(TEXT, b"a" * 200 + b"\xff" + b"a" * 200)
    list(reader.feed(data[:208]))
    with pytest.raises(BrokenRule) as broken:
        list(reader.feed(data[208:209]))
    assert broken.value.code == 1007
