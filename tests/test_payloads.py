from __future__ import annotations

import base64
import gc
import io
import json
import time
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus, urlencode

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.test import RequestFactory, override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from eventcast.exceptions import (
    InvalidEncoding,
    MalformedBody,
    MessageTooLarge,
    MissingData,
    Refused,
    TooManyMessages,
    UnsupportedMediaType,
)
from eventcast.http import payloads
from eventcast.http.payloads import FORM, MULTIPART, NDJSON, messages_in

texts = st.text(st.characters(exclude_categories=["Cs"]))


def asgi_request(body: bytes, kind: str | None = None, *, length: int | None = -1, **headers: str) -> ASGIRequest:
    """A request to publish; ``length`` None leaves Content-Length out, as a chunked body does."""
    fields = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if length is not None:
        fields["content-length"] = str(len(body) if length == -1 else length)
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/a",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in fields.items() if value is not None],
    }
    return ASGIRequest(scope, io.BytesIO(body))


def found_in(body: bytes, kind: str | None = None, **options: Any) -> list[str | bytes]:
    return messages_in(asgi_request(body, kind, **options))


def refusal_of(body: bytes, kind: str | None = None, **options: Any) -> type[Refused] | None:
    """The kind of refusal that a request with this body gets; None if its messages are taken."""
    try:
        assert found_in(body, kind, **options)
    except Refused as refusal:
        return type(refusal)
    return None


def multipart(*parts: bytes, boundary: bytes = b"limit") -> bytes:
    """Parts, each with its headers but for the name."""
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


def field(content: bytes, name: str = "data", *headers: str) -> bytes:
    head = "\r\n".join([f'Content-Disposition: form-data; name="{name}"', *headers])
    return head.encode() + b"\r\n\r\n" + content


def file(content: bytes, *headers: str, name: str = "data") -> bytes:
    head = "\r\n".join([f'Content-Disposition: form-data; name="{name}"; filename="f"', *headers])
    return head.encode() + b"\r\n\r\n" + content


PARTS = f"{MULTIPART}; boundary=limit"
KINDS_OF_TEXT = ["text/plain", "application/json", NDJSON, FORM]

# --- the body is the message ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/html",
        "text/x-anything",
        "TEXT/Plain",
        "text/plain; charset=utf-8",
        'text/plain; charset="UTF-8"',
        "application/json",
        "application/problem+json",
        "application/vnd.github.v3+json; charset=utf-8",
    ],
)
def test_text_and_json_are_text_verbatim(kind: str) -> None:
    body = ' {"name": "张三"} \r\n'
    assert found_in(body.encode(), kind) == [body]


@pytest.mark.parametrize(
    "kind", ["application/octet-stream", "image/png", "application/xml", "application/jsonp", "x", "json", None]
)
def test_rest_is_binary_verbatim(kind: str | None) -> None:
    assert found_in(b"\xff\0\r\n", kind) == [b"\xff\0\r\n"]


@pytest.mark.parametrize(
    ("kind", "message"), [("text/plain", ""), ("application/json", ""), ("application/octet-stream", b"")]
)
def test_empty_body_of_a_type_is_an_empty_message(kind: str, message: str | bytes) -> None:
    assert found_in(b"", kind) == [message]


@pytest.mark.parametrize("kind", [None, ""])
def test_empty_body_of_no_type_is_no_message(kind: str | None) -> None:
    with pytest.raises(MissingData):
        found_in(b"", kind)


@pytest.mark.parametrize(
    ("charset", "body"),
    [
        ("iso-8859-1", b"\xe9"),
        ("LATIN1", b"\xe9"),
        ("utf-16", "é".encode("utf-16")),
        ("gb18030", "é".encode("gb18030")),
    ],
)
def test_charset_of_text_is_minded(charset: str, body: bytes) -> None:
    assert found_in(body, f"text/plain; charset={charset}") == ["é"]


UNKNOWN_CHARSETS = ["klingon", "base64", "hex", "rot13", "", "\u00e9", "zlib"]
ODD_CHARSETS_OF_PYTHON = ["idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "utf-7"]


@pytest.mark.parametrize("kind", KINDS_OF_TEXT)
def test_charset_that_is_not_in_use_is_refused(kind: str) -> None:
    charsets = UNKNOWN_CHARSETS + ODD_CHARSETS_OF_PYTHON
    refusals = {charset: refusal_of(b"data=-\\u\xff" * 300, f"{kind}; charset={charset}") for charset in charsets}
    assert refusals == dict.fromkeys(charsets, UnsupportedMediaType)


@pytest.mark.parametrize("kind", KINDS_OF_TEXT)
def test_bytes_that_are_not_utf8_are_refused(kind: str) -> None:
    broken = [b"data=\xff", b"data=\xe5\xbc", b"data=\xed\xa0\x80", b"data=\xc0\xaf"]
    assert {body: refusal_of(body, kind) for body in broken} == dict.fromkeys(broken, InvalidEncoding)


@given(st.binary(max_size=20), st.sampled_from(["text/plain", FORM, NDJSON, "application/json", PARTS, None, "x/y"]))
def test_no_body_is_an_error_of_the_server(body: bytes, kind: str | None) -> None:
    refusal = refusal_of(body, kind)
    assert refusal is None or refusal.status < 500


# --- forms ------------------------------------------------------------------------------------------------------------


@given(st.lists(texts, min_size=1))
def test_form_round_trips(messages: list[str]) -> None:
    assert found_in(urlencode([("data", message) for message in messages]).encode(), FORM) == messages


@given(st.lists(texts, min_size=1), st.sampled_from(["", "~!*'()-._", "{}[]:/"]))
def test_form_round_trips_however_much_is_encoded(messages: list[str], safe: str) -> None:
    body = "&".join(f"data={quote(message, safe=safe)}" for message in messages)
    assert found_in(body.encode(), FORM) == messages


@given(texts.filter(lambda text: not set(text) & set("&+%")))
def test_form_round_trips_raw(message: str) -> None:
    assert found_in(f"data={message}".encode(), FORM) == [message]


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (b"data=1&data=2&data=1", ["1", "2", "1"]),
        (b"other=0&data=1&other=2", ["1"]),
        (b"data=", [""]),
        (b"data", [""]),
        (b"data=&data=", ["", ""]),
        (b"data=a+b%2Bc", ["a b+c"]),
        (b"data=a=b=c", ["a=b=c"]),
        (b"data=1;2", ["1;2"]),
        (b"d%61ta=1", ["1"]),
        (b"data=%00", ["\0"]),
        (b"data=%", ["%"]),
        (b"data=%zz", ["%zz"]),
        (b"&&data=1&&", ["1"]),
        (b"DATA=0&data=1&data =2", ["1"]),
        (b"data=%F0%9F%98%80", ["😀"]),
        (b"data=%0D%0A", ["\r\n"]),
    ],
)
def test_form_takes_its_data_fields(body: bytes, messages: list[str]) -> None:
    assert found_in(body, FORM) == messages


@pytest.mark.parametrize("kind", [FORM, f"{FORM}; charset=UTF-8", "application/X-WWW-Form-Urlencoded"])
def test_form_is_known_by_its_media_type(kind: str) -> None:
    assert found_in(b"data=1", kind) == ["1"]


@pytest.mark.parametrize("body", [b"", b"message=hello", b"hello", b"%7B%22data%22%3A1%7D=", b"data%20=1"])
def test_form_without_data_is_refused(body: bytes) -> None:
    with pytest.raises(MissingData, match="data"):
        found_in(body, FORM)


@pytest.mark.parametrize("body", [b"data=%FF", b"data=%E5%BC", b"data=%ED%A0%80", b"data=x&%FF=y", b"data=%C0%AF"])
def test_form_of_percent_encoded_bytes_that_are_not_utf8_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidEncoding):
        found_in(body, FORM)


def in_form(text: str) -> str | None:
    """What a form's field of this text says; None if it cannot be read."""
    try:
        return str(found_in(b"data=" + text.encode(), FORM)[0])
    except InvalidEncoding:
        return None


def by_urllib(text: str) -> str | None:
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        return None


@settings(max_examples=2000)
@given(st.text(st.sampled_from("%%%%%0049aAfFE5BC=+_ \t\r\n.张é\0")))
def test_form_is_decoded_as_urllib_does_it(text: str) -> None:
    assert in_form(text) == by_urllib(text)


@given(texts)
def test_form_field_comes_out_as_it_went_in(text: str) -> None:
    assert in_form(quote_plus(text)) == text


def test_form_larger_than_django_takes_is_taken() -> None:
    assert len(found_in(b"data=" + b"x" * 3_000_000, FORM)[0]) == 3_000_000


def test_form_of_some_stray_percent_signs_is_taken() -> None:
    assert found_in(b"data=" + b"%" * 1000, FORM) == ["%" * 1000]


def test_form_of_too_many_stray_percent_signs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "MAX_STRAYS", 5)
    assert found_in(b"x=%&data=%%%%", FORM) == ["%%%%"]
    with pytest.raises(MalformedBody, match="%25"):
        found_in(b"x=%&data=%%%%%", FORM)


@pytest.mark.parametrize("pattern", [b"%", b"%x", b"%4", b"%+", b"%41", b"%E5%BC%A0", b"+", b"&", b"=&", b"%&"])
def test_form_is_taken_apart_quickly_whatever_it_says(pattern: bytes) -> None:
    body = b"x=1&" * 2000 + b"data=" + pattern * (4_000_000 // len(pattern))
    began = time.process_time()
    refusal_of(body, FORM)
    assert time.process_time() - began < 0.4


def test_form_that_a_middleware_has_read_is_still_there() -> None:
    request = asgi_request(b"data=1", FORM)
    assert request.POST["data"] == "1"
    assert messages_in(request) == ["1"]


def test_body_that_a_middleware_has_read_is_still_there() -> None:
    request = asgi_request(b"x", "text/plain")
    assert request.body == b"x"
    assert messages_in(request) == ["x"]


# --- how many ---------------------------------------------------------------------------------------------------------

SEVERAL = [("data=1&", FORM), ("1\n", NDJSON), ("1\r\n", NDJSON)]


@pytest.mark.parametrize(("one", "kind"), SEVERAL)
def test_as_many_messages_as_are_allowed_are_taken(one: str, kind: str) -> None:
    assert len(found_in((one * 10_000).encode(), kind)) == 10_000
    assert len(found_in((one * 10_000).strip("&\r\n").encode(), kind)) == 10_000


@pytest.mark.parametrize(("one", "kind"), SEVERAL)
def test_too_many_messages_are_refused(one: str, kind: str) -> None:
    with pytest.raises(TooManyMessages, match="10000"):
        found_in((one * 10_000 + "x").encode(), kind)


def test_blank_lines_count() -> None:
    with pytest.raises(TooManyMessages, match="lines"):
        found_in(b"\n" * 10_001, NDJSON)


def test_too_many_parts_are_refused_where_django_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "MAX_MESSAGES", 3)
    with pytest.raises(TooManyMessages, match="parts"):
        found_in(multipart(*[field(b"1")] * 2, *[file(b"1")] * 2), PARTS)


# --- lines of JSON ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (b'{"a":1}\n{"b":2}\n', ['{"a":1}', '{"b":2}']),
        (b'{"a":1}', ['{"a":1}']),
        (b"1\r\n2\r\n", ["1", "2"]),
        (b"1\n\n \t\n2", ["1", "2"]),
        (b" 1 \n", [" 1 "]),
        ('"\u2028"\n"\u0085"\n"\x0b"'.encode(), ['"\u2028"', '"\u0085"', '"\x0b"']),
    ],
)
def test_lines_are_a_message_each(body: bytes, messages: list[str]) -> None:
    assert found_in(body, NDJSON) == messages


@given(st.lists(st.dictionaries(texts, texts | st.integers()), min_size=1))
def test_lines_round_trip(data: list[dict[str, Any]]) -> None:
    lines = [json.dumps(item, ensure_ascii=False) for item in data]
    assert found_in("\n".join(lines).encode(), NDJSON) == lines


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\t\n"])
def test_lines_of_nothing_are_refused(body: bytes) -> None:
    with pytest.raises(MissingData):
        found_in(body, NDJSON)


# --- multipart --------------------------------------------------------------------------------------------------------


def test_multipart_fields_are_text_in_order() -> None:
    body = multipart(field("张三\r\n".encode()), field(b"no", "other"), field(b""), field(b"1"))
    assert found_in(body, PARTS) == ["张三\r\n", "", "1"]


def test_multipart_field_of_base64_is_decoded() -> None:
    body = multipart(field(base64.b64encode("张三".encode()), "data", "Content-Transfer-Encoding: base64"))
    assert found_in(body, PARTS) == ["张三"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/plain; charset=utf-8", "application/json", "application/problem+json"]
)
def test_multipart_file_of_text_is_text(kind: str) -> None:
    assert found_in(multipart(file("张三".encode(), f"Content-Type: {kind}")), PARTS) == ["张三"]


@pytest.mark.parametrize("headers", [[], ["Content-Type: application/octet-stream"], ["Content-Type: image/png"]])
def test_multipart_file_of_anything_else_is_binary(headers: list[str]) -> None:
    assert found_in(multipart(file(b"\xff\0", *headers)), PARTS) == [b"\xff\0"]


def test_multipart_files_come_after_fields() -> None:
    assert found_in(multipart(file(b"\xff"), field(b"1"), file(b"", name="data")), PARTS) == ["1", b"\xff", b""]


def no_boundary(content: bytes) -> bool:
    return b"--limit" not in content


@given(st.lists(texts.filter(lambda text: no_boundary(text.encode()))), st.lists(st.binary().filter(no_boundary)))
def test_multipart_round_trips(fields: list[str], files: list[bytes]) -> None:
    parts = [field(text.encode()) for text in fields] + [file(content) for content in files]
    assert found_in(multipart(*parts, field(b"last")), PARTS) == [*fields, "last", *files]


def test_multipart_file_of_another_name_is_no_message() -> None:
    with pytest.raises(MissingData):
        found_in(multipart(file(b"x", name="other")), PARTS)


@pytest.mark.filterwarnings("error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("in_memory", [0, 2_621_440])
def test_multipart_file_of_any_size_is_taken_and_closed(in_memory: int) -> None:
    content = bytes(range(256)) * 12_000
    with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=in_memory):
        assert found_in(multipart(file(content)), PARTS) == [content]
    gc.collect()


def test_multipart_without_content_length_is_taken() -> None:
    assert found_in(multipart(field(b"1")), PARTS, length=None) == ["1"]


@pytest.mark.parametrize(
    "part",
    [
        field(b"\xff"),
        field(b"\xe5\xbc"),
        field(base64.b64encode(b"\xff"), "data", "Content-Transfer-Encoding: base64"),
        file(b"\xff", "Content-Type: text/plain"),
    ],
)
def test_multipart_text_that_is_not_utf8_is_refused(part: bytes) -> None:
    with pytest.raises(InvalidEncoding):
        found_in(multipart(part), PARTS)


@pytest.mark.parametrize("kind", [MULTIPART, f"{MULTIPART}; boundary=", f"{MULTIPART}; boundary=\u00e9"])
def test_multipart_without_a_boundary_is_refused(kind: str) -> None:
    with pytest.raises(MalformedBody):
        found_in(multipart(field(b"1")), kind)


def test_multipart_without_parts_is_refused() -> None:
    with pytest.raises(MissingData):
        found_in(b"", PARTS)


def test_multipart_file_of_broken_base64_is_refused() -> None:
    with pytest.raises(MalformedBody):
        found_in(multipart(file(b"=====", "Content-Transfer-Encoding: base64")), PARTS)


def test_multipart_of_too_many_fields_is_refused() -> None:
    with override_settings(DATA_UPLOAD_MAX_NUMBER_FIELDS=3), pytest.raises(TooManyMessages):
        found_in(multipart(*[field(b"1")] * 10), PARTS)


def test_multipart_of_too_many_files_is_refused() -> None:
    with override_settings(DATA_UPLOAD_MAX_NUMBER_FILES=3), pytest.raises(TooManyMessages):
        found_in(multipart(*[file(b"1")] * 10), PARTS)


def test_multipart_field_larger_than_django_takes_is_refused() -> None:
    with pytest.raises(MessageTooLarge, match="body itself"):
        found_in(multipart(field(b"x" * 3_000_000)), PARTS)


def test_multipart_that_a_middleware_has_parsed_is_still_there() -> None:
    request = asgi_request(multipart(field(b"1"), file(b"\xff")), PARTS)
    assert request.POST["data"] == "1"
    assert messages_in(request) == ["1", b"\xff"]


def test_multipart_whose_body_a_middleware_has_read_is_still_there() -> None:
    request = asgi_request(multipart(field(b"1")), PARTS)
    assert request.body
    assert messages_in(request) == ["1"]


# --- limits -----------------------------------------------------------------------------------------------------------

KINDS = ["text/plain", "application/octet-stream", FORM, NDJSON, PARTS]
SMALL = {"EVENTCAST": {"MAX_BODY_SIZE": 200}}


def body_of(size: int, kind: str) -> bytes:
    if kind != PARTS:
        return b"data=".ljust(size, b"x")
    return multipart(field(b"x" * (size - len(multipart(field(b""))))))


@override_settings(**SMALL)
@pytest.mark.parametrize("kind", KINDS)
def test_body_at_the_limit_is_taken(kind: str) -> None:
    assert found_in(body_of(200, kind), kind)
    assert found_in(body_of(200, kind), kind, length=None)


@override_settings(**SMALL)
@pytest.mark.parametrize("kind", KINDS)
def test_body_over_the_limit_is_refused_whatever_its_length_says(kind: str) -> None:
    for length in (-1, None, 5):
        with pytest.raises(MessageTooLarge, match="MAX_BODY_SIZE"):
            found_in(body_of(201, kind), kind, length=length)


@override_settings(**SMALL)
@pytest.mark.parametrize("kind", KINDS)
def test_body_that_says_it_is_over_the_limit_is_not_read(kind: str) -> None:
    request = asgi_request(b"", kind, length=201)
    request._stream = None
    with pytest.raises(MessageTooLarge):
        messages_in(request)


@pytest.mark.parametrize("length", ["x", "-5", "", "٣", "1.5"])
def test_content_length_that_is_no_number_is_no_error_of_the_server(length: str) -> None:
    request = asgi_request(b"x", "text/plain")
    request.META["CONTENT_LENGTH"] = length
    assert messages_in(request) == ["x"]


@pytest.mark.parametrize("kind", KINDS)
def test_content_encoding_is_refused(kind: str) -> None:
    for encoding in ("gzip", "br", "deflate", "GZIP", "identity, gzip"):
        with pytest.raises(UnsupportedMediaType, match="Content-Encoding"):
            found_in(b"data=1", kind, content_encoding=encoding)


@pytest.mark.parametrize("encoding", ["identity", "Identity"])
def test_content_encoding_that_is_none_is_taken(encoding: str) -> None:
    assert found_in(b"x", "text/plain", content_encoding=encoding) == ["x"]


# --- WSGI -------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(texts)
def test_wsgi_request_gives_the_same(message: str) -> None:
    request = RequestFactory().post("/a", f"data={quote_plus(message)}", content_type=FORM)
    assert isinstance(request, WSGIRequest)
    assert messages_in(request) == [message]
