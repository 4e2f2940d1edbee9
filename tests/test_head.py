"""The head of a request as the door reads it: RFC 9112 sections 2 to 6, and what is passed on to Daphne."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventcast.exceptions import HeadTooLarge, InvalidRequest, Refused
from eventcast.http.head import KNOWN_NAMES, MAX_HEAD, MAX_HEADERS, Head, _keys, read_head

GET = b"GET /a HTTP/1.1\r\nHost: testserver\r\n\r\n"


def request(*lines: bytes, first: bytes = b"POST /a HTTP/1.1", host: bytes = b"Host: testserver") -> bytes:
    return b"\r\n".join([first, host, *lines]) + b"\r\n\r\n"


def read(data: bytes) -> Head:
    """The head, of which these are all bytes."""
    found = read_head(data)
    assert found is not None
    assert found[1] == b""
    return found[0]


def read_by_byte(data: bytes) -> tuple[Head, int]:
    """The head, and how many bytes it took until it was complete."""
    for size in range(1, len(data) + 1):
        if (found := read_head(data[:size])) is not None:
            return found[0], size
    raise AssertionError("the head does not end")


def parts(head: Head) -> tuple[object, ...]:
    return head.method, head.target, head.version, head.fields, head.meta


VALID: dict[str, bytes] = {
    "GET": GET,
    "no space before a value": request(b"A:b"),
    "spaces around a value": request(b"A: \t b c \t "),
    "empty value": request(b"A:"),
    "bytes above ASCII in a value": request("A: 张".encode()),
    "several with one name": request(b"A: 1", b"a: 2"),
    "empty lines before": b"\r\n\r\n\r\n" + GET,
    "absolute form": request(first=b"GET http://elsewhere:81/a?b HTTP/1.1"),
    "absolute form without a path": request(first=b"GET http://elsewhere?b HTTP/1.1"),
    "asterisk": request(first=b"OPTIONS * HTTP/1.1"),
    "HTTP/1.0 without a host": b"GET /a HTTP/1.0\r\n\r\n",
    "a length": request(b"Content-Length: 12"),
    "chunks": request(b"Transfer-Encoding: Chunked"),
    "a WebSocket": request(b"Connection: keep-alive, Upgrade", b"Upgrade: WebSocket", first=b"GET /a HTTP/1.1"),
    "another upgrade": request(b"Connection: Upgrade", b"Upgrade: h2c"),
}


@pytest.mark.parametrize("data", VALID.values(), ids=VALID)
def test_read_head_gives_the_same_byte_by_byte_as_at_once(data: bytes) -> None:
    head, size = read_by_byte(data)
    assert (parts(head), size) == (parts(read(data)), len(data))


@pytest.mark.parametrize("data", VALID.values(), ids=VALID)
def test_read_head_waits_for_the_end_and_returns_what_comes_after_it(data: bytes) -> None:
    expected, rest = parts(read(data)), b"data=1\r\n\r\nGET"
    for cut in range(1, len(data)):
        assert read_head(data[:cut]) is None
    found = read_head(data + rest)
    assert found is not None
    assert (parts(found[0]), found[1]) == (expected, rest)


def test_read_head_reads_request_line_and_headers_in_order() -> None:
    head = read(request(b"X-B: 1", b"X-A:  2 ", first=b"PUT /a%20b?c=d HTTP/1.1"))
    assert (head.method, head.target, head.version) == ("PUT", b"/a%20b?c=d", "1.1")
    assert head.fields == [("Host", "testserver"), ("X-B", "1"), ("X-A", "2")]
    assert head.meta == {"HTTP_HOST": "testserver", "HTTP_X_B": "1", "HTTP_X_A": "2"}


@pytest.mark.parametrize("value", [b"testserver ", b" testserver\t", b"\t testserver \t "])
def test_read_head_strips_spaces_around_a_value(value: bytes) -> None:
    assert read(request(host=b"Host:" + value)).meta["HTTP_HOST"] == "testserver"


def test_meta_joins_headers_of_one_name() -> None:
    assert read(request(b"X-A: 1", b"x-a: 2")).meta["HTTP_X_A"] == "1,2"


def test_meta_leaves_out_names_with_an_underscore() -> None:
    """Else X_Forwarded_For would be taken for X-Forwarded-For, which a proxy has checked."""
    head = read(request(b"X_Forwarded_For: 1", b"X-Forwarded_For: 2"))
    assert list(head.meta) == ["HTTP_HOST"]
    assert read(head.for_daphne()).fields[1:3] == [("X_Forwarded_For", "1"), ("X-Forwarded_For", "2")]


def test_meta_is_right_when_more_names_came_than_are_remembered() -> None:
    for number in range(KNOWN_NAMES + 5):
        name = b"X-%d" % number
        assert read(request(name + b": a")).meta == {"HTTP_HOST": "testserver", f"HTTP_X_{number}": "a"}
    assert len(_keys) <= KNOWN_NAMES


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"http://elsewhere:81/a?b", b"/a?b", "elsewhere:81"),
        (b"https://elsewhere", b"/", "elsewhere"),
        (b"http://elsewhere?b", b"/?b", "elsewhere"),
    ],
)
def test_absolute_target_replaces_the_host(target: bytes, path: bytes, host: str) -> None:
    head = read(request(first=b"GET %b HTTP/1.1" % target))
    assert (head.target, head.meta["HTTP_HOST"], head.fields) == (path, host, [("Host", host)])


INVALID: dict[str, bytes] = {
    "no HTTP": b"hello\r\n\r\n",
    "HTTP/0.9": b"GET /a\r\n\r\n",
    "a WebSocket's frame": b"\x81\x85mask....",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a method that is no token": request(first=b"G(ET /a HTTP/1.1"),
    "an empty line with a bare LF before": b"\n" + GET,
    "a bare CR before": b"\r" + GET,
    "two spaces": request(first=b"GET  /a HTTP/1.1 "),
    "a space in the target": request(first=b"GET /a b HTTP/1.1"),
    "a control character in the target": request(first=b"GET /a\x00b HTTP/1.1"),
    "a relative target": request(first=b"GET a HTTP/1.1"),
    "no host": b"GET /a HTTP/1.1\r\n\r\n",
    "two hosts": request(b"Host: elsewhere"),
    "two hosts that are the same": request(b"Host: testserver"),
    "a host with a path": request(host=b"Host: testserver/a"),
    "a host with a user": request(host=b"Host: me@testserver"),
    "a host with spaces": request(host=b"Host: test server"),
    "a space before the colon": request(b"Content-Length : 3"),
    "a name with a space": request(b"Content Length: 3"),
    "an empty name": request(b": a"),
    "no colon": request(b"Content-Length"),
    "a folded line": request(b"A: b", b" c"),
    "a folded first line": request(host=b" Host: testserver"),
    "a bare CR in a value": request(b"A: b\rContent-Length: 3"),
    "a bare LF in a value": request(b"A: b\nContent-Length: 3"),
    "a NUL in a value": request(b"A: b\0c"),
    "a bare LF at the end": b"GET /a HTTP/1.1\nHost: testserver\n\n",
    "two lengths": request(b"Content-Length: 3", b"Content-Length: 4"),
    "two lengths that are the same": request(b"Content-Length: 3", b"Content-Length: 3"),
    "two lengths in one": request(b"Content-Length: 3, 3"),
    "a negative length": request(b"Content-Length: -1"),
    "a length with a sign": request(b"Content-Length: +1"),
    "a length in hexadecimal": request(b"Content-Length: 0x10"),
    "an empty length": request(b"Content-Length:"),
    "a length of more than 64 bits": request(b"Content-Length: 99999999999999999999"),
    "a length and chunks": request(b"Content-Length: 3", b"Transfer-Encoding: chunked"),
    "chunks and a length": request(b"Transfer-Encoding: chunked", b"Content-Length: 3"),
    "chunks in HTTP/1.0": request(b"Transfer-Encoding: chunked", first=b"POST /a HTTP/1.0"),
    "chunks twice": request(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "chunks within chunks": request(b"Transfer-Encoding: chunked, chunked"),
    "another coding": request(b"Transfer-Encoding: gzip"),
    "another coding of chunks": request(b"Transfer-Encoding: gzip, chunked"),
    "a coding with a line feed of its own": request(b"Transfer-Encoding: \x0bchunked"),
    "two media types": request(b"Content-Type: text/plain", b"Content-Type: application/json"),
    "HTTP/2": request(first=b"GET /a HTTP/2.0"),
    "HTTP/1.2": request(first=b"GET /a HTTP/1.2"),
}


@pytest.mark.parametrize("data", INVALID.values(), ids=INVALID)
def test_read_head_refuses_what_breaks_the_rules(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_head(data)


def test_client_that_begins_with_tls_is_told_so() -> None:
    with pytest.raises(InvalidRequest, match="without TLS"):
        read_head(INVALID["a TLS hello"])


@pytest.mark.parametrize("data", INVALID.values(), ids=INVALID)
def test_read_head_refuses_the_same_byte_by_byte(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_by_byte(data)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(b"Transfer-Encoding: gzip"), 501),
        (request(b"Transfer-Encoding: gzip, chunked"), 501),
        (request(first=b"GET /a HTTP/2.0"), 505),
        (request(b"Content-Length: -1"), 400),
    ],
)
def test_refusal_has_the_status_of_its_rule(data: bytes, status: int) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read_head(data)
    assert refusal.value.status == status


def test_head_of_the_largest_size_is_read() -> None:
    padding = b"x" * (MAX_HEAD - len(request(b"A: ")))
    assert read(request(b"A: " + padding)).meta["HTTP_A"] == padding.decode()


@pytest.mark.parametrize("size", [1, 1000])
def test_head_that_is_too_large_is_refused_before_its_end(size: int) -> None:
    data = request(b"A: " + b"x" * 2 * MAX_HEAD)
    assert read_head(data[:MAX_HEAD]) is None
    with pytest.raises(HeadTooLarge):
        read_head(data[: MAX_HEAD + size])


def test_empty_lines_before_a_head_count_for_its_size() -> None:
    with pytest.raises(HeadTooLarge):
        read_head(b"\r\n" * MAX_HEAD)


def test_head_with_too_many_headers_is_refused() -> None:
    assert len(read(request(*[b"A: b"] * (MAX_HEADERS - 1))).fields) == MAX_HEADERS
    with pytest.raises(HeadTooLarge):
        read(request(*[b"A: b"] * MAX_HEADERS))


@given(st.binary(max_size=200), st.integers(1, 200))
def test_any_bytes_are_a_head_or_refused(data: bytes, cut: int) -> None:
    def outcome(data: bytes) -> object:
        try:
            found = read_head(data)
        except Refused as refusal:
            return type(refusal)
        return None if found is None else (parts(found[0]), found[1])

    data = b"GET /a HTTP/1.1\r\n" + data + b"\r\n"
    begun, whole = outcome(data[:cut]), outcome(data)
    if begun is InvalidRequest:  # What is refused before its end is refused with it.
        assert whole is InvalidRequest


@pytest.mark.parametrize(
    ("lines", "version", "kept"),
    [
        ([], b"1.1", True),
        ([b"Connection: close"], b"1.1", False),
        ([b"Connection: Upgrade, Close"], b"1.1", False),
        ([], b"1.0", False),
        ([b"Connection: Keep-Alive"], b"1.0", True),
        ([b"Connection: keep-alive, close"], b"1.0", False),
    ],
)
def test_keep_alive_is_what_the_client_wants(lines: list[bytes], version: bytes, kept: bool) -> None:
    assert read(request(*lines, first=b"GET /a HTTP/" + version)).keep_alive is kept


@pytest.mark.parametrize(
    ("lines", "upgrades"),
    [
        ([b"Connection: Upgrade", b"Upgrade: websocket"], True),
        ([b"Connection: keep-alive,upgrade", b"Upgrade: WebSocket"], True),
        ([b"Upgrade: websocket"], False),
        ([b"Connection: Upgrade"], False),
        ([b"Connection: Upgrade", b"Upgrade: h2c"], False),
    ],
)
def test_upgrades_only_to_a_websocket(lines: list[bytes], upgrades: bool) -> None:
    assert read(request(*lines, first=b"GET /a HTTP/1.1")).upgrades is upgrades


@pytest.mark.parametrize(
    ("lines", "length"), [([], 0), ([b"Content-Length: 007"], 7), ([b"Transfer-Encoding: chunked"], None)]
)
def test_length_is_none_for_chunks(lines: list[bytes], length: int | None) -> None:
    assert read(request(*lines)).length == length


def test_for_daphne_says_that_the_connection_closes() -> None:
    passed = read(read(request(b"Connection: keep-alive", b"A: b")).for_daphne())
    assert (passed.keep_alive, passed.meta["HTTP_A"], passed.meta["HTTP_HOST"]) == (False, "b", "testserver")


def test_for_daphne_leaves_out_the_root_path() -> None:
    assert b"root-path" not in read(request(b"Daphne-Root-Path: /x")).for_daphne().lower()


def test_for_daphne_keeps_an_upgrade() -> None:
    assert read(read(VALID["a WebSocket"]).for_daphne()).upgrades


def test_for_daphne_says_the_length_of_a_body_that_was_read() -> None:
    passed = read(read(request(b"Transfer-Encoding: chunked", b"Expect: 100-continue")).for_daphne(length=5))
    assert (passed.length, "HTTP_EXPECT" in passed.meta) == (5, False)
