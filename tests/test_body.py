"""The body of a request as the door reads it: by its length, or in chunks (RFC 9112 sections 6 and 7)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventcast.exceptions import InvalidRequest
from eventcast.server.body import LONGEST_CHUNK_LINE, LONGEST_TRAILER, Body

NEXT = b"GET /b HTTP/1.1\r\n\r\n"
"""The request behind the body."""


def read(data: bytes) -> tuple[bytes, bytes | None]:
    """The content of a body in chunks, and what comes after it."""
    body = Body(None)
    rest = body.feed(data)
    return bytes(body.content), rest


def read_by_byte(data: bytes) -> tuple[bytes, int]:
    """The content of a body in chunks, and how many bytes it took."""
    body = Body(None)
    for number, byte in enumerate(data, 1):
        if body.feed(bytes([byte])) is not None:
            return bytes(body.content), number
    raise AssertionError("the body does not end")


def chunk(content: bytes, extensions: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (len(content), extensions, content)


VALID: dict[str, tuple[bytes, bytes]] = {
    "nothing": (b"0\r\n\r\n", b""),
    "one chunk": (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    "several chunks": (b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
    "line ends in a chunk": (b"6\r\n\r\n0\r\n\r\r\n0\r\n\r\n", b"\r\n0\r\n\r"),
    "capital digits": (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "zeros before the size": (b"0003\r\nabc\r\n000\r\n\r\n", b"abc"),
    "spaces behind the size": (b"3 \t\r\nabc\r\n0 \r\n\r\n", b"abc"),
    "extensions": (b'3;a=b;c="d;e"\r\nabc\r\n0;f\r\n\r\n', b"abc"),
    "spaces before an extension": (b"3 ;a = b\r\nabc\r\n0\r\n\r\n", b"abc"),
    "a trailer": (b"3\r\nabc\r\n0\r\nA: b\r\nC:\r\n\r\n", b"abc"),
    "the longest line": (b"3;" + b"x" * (LONGEST_CHUNK_LINE - 2) + b"\r\nabc\r\n0\r\n\r\n", b"abc"),
}


@pytest.mark.parametrize(("data", "content"), VALID.values(), ids=VALID)
def test_chunked_body_is_read_at_once(data: bytes, content: bytes) -> None:
    assert read(data + NEXT) == (content, NEXT)


@pytest.mark.parametrize(("data", "content"), VALID.values(), ids=VALID)
def test_chunked_body_is_read_byte_by_byte(data: bytes, content: bytes) -> None:
    assert read_by_byte(data + NEXT) == (content, len(data))


@pytest.mark.parametrize(("data", "content"), VALID.values(), ids=VALID)
def test_chunked_body_is_read_in_two_pieces(data: bytes, content: bytes) -> None:
    for cut in range(len(data)):
        body = Body(None)
        assert body.feed(data[:cut]) is None
        assert (body.feed(data[cut:] + NEXT), bytes(body.content)) == (NEXT, content)


INVALID: dict[str, bytes] = {
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "a sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "a negative size": b"-3\r\nabc\r\n0\r\n\r\n",
    "a prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "an underscore": b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "a space before the size": b" 3\r\nabc\r\n0\r\n\r\n",
    "no digit": b"g\r\nabc\r\n0\r\n\r\n",
    "digits of another script": "٣\r\nabc\r\n0\r\n\r\n".encode(),
    "more than 64 bits": b"1" + b"0" * 16 + b"\r\n",
    "a comma behind the size": b"3,4\r\nabc\r\n0\r\n\r\n",
    "a chunk that is longer": b"3\r\nabcd\r\n0\r\n\r\n",
    "a chunk that is shorter": b"3\r\nab\r\n0\r\n\r\n",
    "a bare LF behind the size": b"3\nabc\r\n0\r\n\r\n",
    "a bare LF behind a chunk": b"3\r\nabc\n0\r\n\r\n",
    "a bare CR behind the size": b"3\rabc\r\n0\r\n\r\n",
    "a bare LF in an extension": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "a bare CR in an extension": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "a bare LF at the end": b"0\r\n\n",
    "a long line": b"3;" + b"x" * LONGEST_CHUNK_LINE + b"\r\nabc\r\n0\r\n\r\n",
    "a line without end": b"3;" + b"x" * LONGEST_CHUNK_LINE,
    "a trailer without a colon": b"0\r\nabc\r\n\r\n",
    "a trailer that is a request": b"0\r\nGET http://a HTTP/1.1\r\n\r\n",
    "a trailer without a name": b"0\r\n: a\r\n\r\n",
    "a bare LF in a trailer": b"0\r\nA: b\nC: d\r\n\r\n",
    "a bare CR in a trailer": b"0\r\nA: b\rC: d\r\n\r\n",
    "a long trailer": b"0\r\nA: " + b"x" * LONGEST_TRAILER + b"\r\n\r\n",
    "a trailer of many lines": b"0\r\n" + b"A: b\r\n" * (LONGEST_TRAILER // 4 + 1) + b"\r\n",
}


@pytest.mark.parametrize("data", INVALID.values(), ids=INVALID)
def test_chunked_body_refuses_what_breaks_the_rules(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(data)


@pytest.mark.parametrize("data", INVALID.values(), ids=INVALID)
def test_chunked_body_refuses_the_same_byte_by_byte(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_by_byte(data)


@given(st.lists(st.binary(min_size=1, max_size=300)), st.lists(st.integers(0, 5000)))
def test_chunked_body_is_the_same_in_any_pieces(chunks: list[bytes], cuts: list[int]) -> None:
    data = b"".join(map(chunk, chunks)) + b"0\r\n\r\n"
    bounds = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    body = Body(None)
    rests = [body.feed(data[start:end]) for start, end in pairwise(bounds)]
    assert (rests[-1], set(rests[:-1]) <= {None}, bytes(body.content)) == (b"", True, b"".join(chunks))


@given(st.binary(max_size=60))
def test_any_bytes_are_chunks_or_refused(data: bytes) -> None:
    """The same content whether the bytes come one by one or all at once."""

    def outcome(pieces: list[bytes]) -> bytes | None:
        body = Body(None)
        try:
            for piece in pieces:
                if body.feed(piece) is not None:
                    return bytes(body.content)
        except InvalidRequest:
            return None
        return bytes(body.content)

    data = b"1\r\na\r\n" + data
    assert outcome([bytes([byte]) for byte in data]) == outcome([data])


def test_chunked_body_counts_what_has_come() -> None:
    body, sizes = Body(None), []
    for piece in (b"5\r\n", b"ab", b"cde", b"\r\n3\r\n", b"f"):
        body.feed(piece)
        sizes.append(len(body.content))
    assert sizes == [0, 2, 5, 5, 6]


@pytest.mark.parametrize("size", [1, 3, 5])
def test_sized_body_ends_after_its_length(size: int) -> None:
    body, data = Body(5), b"abcde"
    rests = [body.feed(data[start : start + size]) for start in range(0, 5, size)]
    assert (rests[-1], set(rests[:-1]) <= {None}, bytes(body.content)) == (b"", True, data)


def test_sized_body_returns_what_comes_after_it() -> None:
    body = Body(3)
    assert (body.feed(b"abc" + NEXT), bytes(body.content)) == (NEXT, b"abc")


def test_sized_body_counts_what_has_come() -> None:
    body = Body(10)
    assert (body.feed(b"abc"), len(body.content)) == (None, 3)


def test_sized_body_without_a_length_is_empty() -> None:
    body = Body(0)
    assert (body.feed(NEXT), bytes(body.content)) == (NEXT, b"")
