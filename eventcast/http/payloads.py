"""What a request to publish carries: its body as messages, told by its Content-Type."""

from __future__ import annotations

import binascii
import io
import re
from collections.abc import Callable
from encodings import normalize_encoding
from encodings.aliases import aliases

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation, TooManyFieldsSent, TooManyFilesSent
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParser, MultiPartParserError

from eventcast.conf import conf
from eventcast.exceptions import (
    InvalidEncoding,
    MalformedBody,
    MessageTooLarge,
    MissingData,
    Sentence,
    TooManyMessages,
    UnsupportedMediaType,
)

FIELD = "data"
"""The form field that holds a message."""

FORM, MULTIPART, NDJSON = "application/x-www-form-urlencoded", "multipart/form-data", "application/x-ndjson"

MAX_MESSAGES = 10_000
"""Lines, or form fields, in one request, messages or not: 8 MB hold four million, and stop everybody for seconds."""

MAX_STRAYS = 100_000
"""Percent signs in one form that begin no escape. Each is looked at alone, and 8 MB of them take seconds."""

UTF_8 = "utf-8"

LONGEST_CHARSET = 40
"""Characters; the longest by which Python knows one of these has half as many."""

# Those that are in use, and quickly decoded whatever the bytes: each took under 0.1 s for 8 MB of the worst that were
# found for it. A client names the encoding, and Python knows some that take a minute (``punycode`` and ``idna`` are
# quadratic), during which nothing is delivered to anybody. Not UTF-7, which browsers have given up.
_ENCODING_NAMES = (
    "ascii utf_8 utf_8_sig utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le latin_1 "
    "iso8859_2 iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9 iso8859_10 iso8859_11 iso8859_13 "
    "iso8859_14 iso8859_15 iso8859_16 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 "
    "cp437 cp720 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863 cp864 cp865 cp866 cp869 cp874 "
    "koi8_r koi8_t koi8_u kz1048 ptcp154 tis_620 mac_cyrillic mac_greek mac_iceland mac_latin2 mac_roman mac_turkish "
    "gb2312 gbk gb18030 hz big5 big5hkscs cp950 shift_jis shift_jis_2004 shift_jisx0213 cp932 "
    "euc_jp euc_jis_2004 euc_jisx0213 euc_kr cp949 johab "
    "iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext iso2022_kr"
)
_ENCODINGS = frozenset(_ENCODING_NAMES.split())

_STRAY = re.compile("%(?![0-9A-Fa-f]{2})")

Decode = Callable[[bytes], list[str | bytes]]


def messages_in(request: HttpRequest, decode: Decode | None = None) -> list[str | bytes]:
    """The messages that a request to publish carries, in order.

    :param decode: what :func:`decoder` has returned, if it was called.
    :raises MissingData: there is none; ``MalformedBody``, ``InvalidEncoding``: the body is not what it says it is;
        ``TooManyMessages``: there are more than :data:`MAX_MESSAGES`; ``MessageTooLarge``: it is over
        ``MAX_BODY_SIZE``.
    """
    decode = decode or decoder(request)
    return _in_multipart(request) if decode is None else decode(_read(request))


def decoder(request: HttpRequest) -> Decode | None:
    """What finds the messages in the body of a request, told by its head; None for a multipart body.

    :raises UnsupportedMediaType: a charset or Content-Encoding that is not understood.
    """
    meta = request.META  # and not request.headers, which is made of all headers for one look
    if meta.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without Content-Encoding.")
    kind = request.content_type or ""
    if kind == MULTIPART:
        return None
    split: Callable[[str], list[str | bytes]]
    if kind == FORM:
        split = _in_form
    elif kind == NDJSON:
        split = _in_lines
    elif kind.startswith("text/") or kind == "application/json" or kind.endswith("+json"):
        split = _whole
    else:
        return lambda body: [body] if kind or body else _missing()
    charset = (request.content_params or {}).get("charset", UTF_8)
    encoding = UTF_8 if charset == UTF_8 else encoding_named(charset)
    if encoding is None:
        raise UnsupportedMediaType("The charset {charset!r:.40} is not understood here. Send UTF-8.", charset=charset)
    return lambda body: split(_text(body, encoding))


def encoding_named(charset: str) -> str | None:
    """Python's name of the encoding that a client calls ``charset``; None if it is not one of those above."""
    if charset.lower() == UTF_8:
        return UTF_8
    # Not codecs.lookup(), which would import what a client names, and remember for ever that it is not there.
    if len(charset) > LONGEST_CHARSET or not charset.isascii():
        return None
    name = normalize_encoding(charset.lower()).replace(".", "_")
    name = aliases.get(name, name)
    return name if name in _ENCODINGS else None


def _whole(text: str) -> list[str | bytes]:
    return [text]


def _missing() -> list[str | bytes]:
    raise MissingData(
        "There is no message. Send a form with a field 'data' (curl --data-urlencode 'data=hello'), "
        "or the message itself as the body with its Content-Type."
    )


def _read(request: HttpRequest) -> bytes:
    """The body, if it is not over the limit. Not ``request.body``: that has Django's own, lower limit for forms."""
    body: bytes | None = getattr(request, "content", None)  # as the door has read it
    if body is None:
        length = request.META.get("CONTENT_LENGTH") or "0"
        check_body_size(int(length) if length.isdecimal() else 0)
        body = request.read(conf.MAX_BODY_SIZE + 1)
    check_body_size(len(body))
    return body


def check_body_size(size: int) -> None:
    """Check that a body may have so many bytes."""
    if size > (limit := conf.MAX_BODY_SIZE):
        raise MessageTooLarge(
            "The body is larger than {limit} bytes (EVENTCAST['MAX_BODY_SIZE']). Publish a link to it, or split it.",
            limit=limit,
        )


def _text(body: bytes, encoding: str) -> str:
    """The body decoded; a lone byte that does not fit refuses it."""
    try:
        return body.decode(encoding)
    except UnicodeError as error:
        raise InvalidEncoding(
            "The body is not valid {encoding} ({error}). Send UTF-8, or binary data as application/octet-stream.",
            encoding=encoding,
            error=error,
        ) from None


def _in_lines(text: str) -> list[str | bytes]:
    if text.count("\n", 0, -1) >= MAX_MESSAGES:  # before they are made; one that ends the last line begins none
        raise _too_many(Sentence("lines"))
    return [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()] or _missing()


def _in_form(text: str) -> list[str | bytes]:
    if text.startswith("data=") and "&" not in text and "%" not in text:
        return [text[5:].replace("+", " ")]  # most forms, in a tenth of the time of the rest
    if text.count("&", 0, -1) >= MAX_MESSAGES:
        raise _too_many(Sentence("form fields"))
    text, strays = _STRAY.subn("%25", text, MAX_STRAYS + 1)
    if strays > MAX_STRAYS:
        raise MalformedBody("The form has too many '%' that begin no escape. Write %25 for each, or send text/plain.")
    try:
        fields = [field.partition("=") for field in text.split("&") if field]
        found: list[str | bytes] = [_unquote(value) for name, _, value in fields if _unquote(name) == FIELD]
    except UnicodeDecodeError as error:
        raise InvalidEncoding("The form is not valid percent-encoded UTF-8 ({error}).", error=error) from None
    return found or _missing()


def _unquote(text: str) -> str:
    """A name or value of a form without strays, decoded (WHATWG URL, application/x-www-form-urlencoded), but strictly.

    What urllib decodes it by takes 0.4 s for a megabyte of escapes, and for so long nothing is delivered to anybody.
    Quoted-printable is the same but for ``=`` in place of ``%``, and Python decodes that in C, in a tenth of the time.

    :raises UnicodeDecodeError: it is not percent-encoded UTF-8.
    """
    text = text.replace("+", " ")
    if "%" not in text:
        return text
    return binascii.a2b_qp(text.encode().replace(b"=", b"=3D").replace(b"%", b"=")).decode()


def _too_many(what: Sentence) -> TooManyMessages:
    return TooManyMessages(
        "There are too many {what}, {most} are allowed. Send them in several requests.", what=what, most=MAX_MESSAGES
    )


def _in_multipart(request: HttpRequest) -> list[str | bytes]:
    """Fields named ``data`` as text, then files of that name: text if their Content-Type says so, else binary."""
    try:
        if hasattr(request, "_post"):  # Something before us has read it: a middleware of the site.
            fields, files = request.POST.getlist(FIELD), request.FILES.getlist(FIELD)
        else:
            # Whatever the length is, but none: Django reads to the end, and a large one would make it use the disk.
            meta, body = request.META | {"CONTENT_LENGTH": "1"}, io.BytesIO(_read(request))
            # Django would replace what is not UTF-8. Latin-1 keeps every byte, to be decoded strictly below.
            parser = MultiPartParser(meta, body, request.upload_handlers, "latin-1")
            try:
                post, uploads = parser.parse()
            except TypeError as error:  # a part whose header has parameters that contradict each other
                raise MultiPartParserError(str(error)) from None
            fields = [value.encode("latin-1").decode() for value in post.getlist(FIELD)]
            files = uploads.getlist(FIELD)
        found: list[str | bytes] = [*fields]
        for file in files:
            content = file.read()
            file.close()
            is_text = (file.content_type or "").startswith("text/") or (file.content_type or "").endswith("json")
            found.append(content.decode() if is_text else content)
    except UnicodeDecodeError as error:
        raise InvalidEncoding("A part is not valid UTF-8 ({error}).", error=error) from None
    except RequestDataTooBig as error:
        raise MessageTooLarge("{error} Send large messages as the body itself.", error=error) from None
    except (TooManyFieldsSent, TooManyFilesSent) as error:
        raise TooManyMessages(
            "{error} Send them in several requests, or as application/x-ndjson.", error=error
        ) from None
    except (MultiPartParserError, SuspiciousOperation) as error:
        raise MalformedBody("The multipart body cannot be parsed: {error!s:.200}", error=error) from None
    if len(found) > MAX_MESSAGES:  # where the site has taken Django's limits away
        raise _too_many(Sentence("parts"))
    return found or _missing()
