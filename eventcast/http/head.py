"""The head of a request, held to what RFC 9112 asks of a server. Pure: bytes in, a head or a refusal out."""

from __future__ import annotations

import functools
import re

from eventcast.exceptions import HeadTooLarge, InvalidRequest

MAX_HEAD = 32 * 1024
"""Bytes of a head: the request line and all headers."""

MAX_HEADERS = 200

KNOWN_NAMES = 1000
"""Names of headers that are remembered: clients may send any number of their own."""

KNOWN_HEADS, LONGEST_KNOWN = 512, 2048
"""Heads that are remembered, and bytes of the longest. The requests of one program mostly differ in nothing but their
targets, the lengths of their bodies, and the keys of their handshakes."""

_TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]"
_LINE = re.compile(_TOKEN + r"+ [!-~]+ HTTP/\d\.\d\Z")
_LINE_BEGUN = re.compile(_TOKEN + r"*(?: [!-~]*(?: [HTP/.\d]{0,8})?)?\r?\Z")
# "^" and the line end in it: each line is a header from its beginning to its end, or none is found there.
_FIELD = re.compile(r"^(" + _TOKEN + r"+):[\t ]*([\t -~\x80-\xff]*)\r\n", re.MULTILINE)

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
_HOST = re.compile(r"[A-Za-z0-9._~:\[\]%!$&'()*+,;=-]*\Z")

_KEYS_OF_CHANGING = {"Content-Length": "CONTENT_LENGTH", "Sec-WebSocket-Key": "HTTP_SEC_WEBSOCKET_KEY"}
_USUAL = re.compile(_TOKEN.encode() + rb"+ (/[!-~]*) HTTP/1\.1\r\n")
_CHANGING = re.compile(rb"\r\n(Content-Length: (?=\d{1,15}\r)|Sec-WebSocket-Key: )([A-Za-z0-9+/=]+)\r\n")

_ONCE = {"HTTP_HOST", "CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"}

_keys: dict[str, str] = {}
"""CGI's names by those of headers."""


class Head:
    """The head of one request.

    :attr target: the request target in origin form.
    :attr meta: the headers by the names that CGI gave them, as in Django's ``request.META``.
    :attr length: bytes of the body; None if it comes in chunks.
    :attr keep_alive: whether the client wants the connection to stay open after the answer (RFC 9112 section 9.3).
    :attr known: the same object for heads that differ in nothing but the target, the length and the key of a handshake;
        None if it is not remembered.
    :attr upgrades: whether the client asks for a WebSocket (RFC 6455 section 4.2.1).
    :raises InvalidRequest: it breaks the rules of HTTP/1.1.
    """

    __slots__ = (
        *("_changed", "_fields", "keep_alive", "known", "length", "meta", "method", "target", "upgrades", "version"),
    )

    def __init__(self, method: str, target: str, version: str, fields: list[tuple[str, str]]) -> None:
        if version not in ("1.0", "1.1"):
            raise InvalidRequest("The version of HTTP is 1.0 or 1.1.", status=505)
        self.method = method
        self.version = version
        self.meta = meta = _meta(fields)
        if not target.startswith("/") and (absolute := _ABSOLUTE.match(target)) is not None:
            # RFC 9112 section 3.2.2: what the target says counts, whatever the header says.
            target = "/" + target[absolute.end() :].removeprefix("/")
            meta["HTTP_HOST"] = absolute[1]
            fields = [each for each in fields if each[0].lower() != "host"] + [("Host", absolute[1])]
        elif not target.startswith("/") and target != "*":
            raise InvalidRequest("The target of a request is a path, such as /orders/42.")
        if version == "1.1" and "HTTP_HOST" not in meta:
            raise InvalidRequest("A request of HTTP/1.1 has a Host header.")
        if not _HOST.match(meta.get("HTTP_HOST", "")):
            raise InvalidRequest("The Host header is not the name of a host.")
        self._fields = fields
        self.known: Head | None = None
        self._changed: tuple[str, str] | tuple[()] = ()
        self.target = target.encode("latin-1")
        self.length = self._length()
        options = meta.get("HTTP_CONNECTION")
        self.keep_alive, self.upgrades = version == "1.1", False
        if options is not None:
            wanted = [option.strip() for option in options.lower().split(",")]
            self.keep_alive = "close" not in wanted and (version == "1.1" or "keep-alive" in wanted)
            self.upgrades = "upgrade" in wanted and meta.get("HTTP_UPGRADE", "").lower() == "websocket"

    def like(self, target: bytes, name: str, value: str) -> Head:
        """The same head with another target, and with another value of a header that it has once."""
        head = Head.__new__(Head)
        head.method, head.version, head.target = self.method, self.version, target
        head.keep_alive, head.upgrades, head.length = self.keep_alive, self.upgrades, self.length
        head._fields, head.meta, head._changed, head.known = self._fields, self.meta, (), self
        if name:
            head.meta, head._changed = {**self.meta, _KEYS_OF_CHANGING[name]: value}, (name, value)
            if name == "Content-Length":
                head.length = int(value)
        return head

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The headers, in their order."""
        if not self._changed:
            return self._fields
        return [self._changed if field[0] == self._changed[0] else field for field in self._fields]

    def _length(self) -> int | None:
        length = self.meta.get("CONTENT_LENGTH")
        if "HTTP_TRANSFER_ENCODING" in self.meta:
            if self.version == "1.0" or length is not None:
                raise InvalidRequest("Send either Transfer-Encoding, with HTTP/1.1, or Content-Length.")
            if self.meta["HTTP_TRANSFER_ENCODING"].lower() != "chunked":
                raise InvalidRequest("The only Transfer-Encoding is chunked.", status=501)
            return None
        if length is None:
            return 0
        if not (length.isascii() and length.isdecimal() and len(length) < 20):
            raise InvalidRequest("The Content-Length is not a number.")
        return int(length)

    def for_daphne(self, length: int | None = None) -> bytes:
        """The head as Daphne gets it: the connection ends after this request, so that the next one comes to the door;
        and without the header that changes the root path, which clients must not send.

        :param length: the length of the body, where it was read already.
        """
        left_out = {"daphne-root-path", "connection"}
        if not self.upgrades:
            left_out.add("upgrade")  # Daphne would take it for a handshake, and hang up.
        if length is not None:
            left_out |= {"content-length", "transfer-encoding", "expect"}
        fields = [each for each in self.fields if each[0].lower() not in left_out]
        fields.append(("Connection", "Upgrade" if self.upgrades else "close"))
        if length is not None:
            fields.append(("Content-Length", str(length)))
        lines = [f"{self.method} {self.target.decode('latin-1')} HTTP/{self.version}"]
        lines += [f"{name}: {value}" for name, value in fields]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def read_head(data: bytes) -> tuple[Head, bytes] | None:
    """The head that some bytes begin with, and what comes after it; None if it has not come to its end."""
    end = data.find(b"\r\n\r\n")
    usual = _USUAL.match(data)
    if usual is not None and 0 < end < LONGEST_KNOWN:
        begin, stop = usual.span(1)
        changing = _CHANGING.search(data, stop, end + 2)
        if changing is None:
            known = _known(data[: begin + 1] + data[stop : end + 2])
            return known.like(data[begin:stop], "", ""), data[end + 4 :]
        first, last = changing.span(2)
        known = _known(b"%b%b0%b" % (data[: begin + 1], data[stop:first], data[last : end + 2]))
        name, value = changing[1][:-2].decode(), changing[2].decode()
        if known.meta[_KEYS_OF_CHANGING[name]] == "0":  # and not several of one name
            return known.like(data[begin:stop], name, value), data[end + 4 :]
    start = 0
    while data.startswith(b"\r\n", start):  # RFC 9112 section 2.2
        start += 2
    end = data.find(b"\r\n\r\n", start)
    if max(end + 4, len(data) if end < 0 else 0) > MAX_HEAD:
        raise HeadTooLarge("The head of a request has at most {most} bytes.", most=MAX_HEAD)
    text = data[start : end + 2 if end >= 0 else None].decode("latin-1")
    if end >= 0:
        return _parsed(text), data[end + 4 :]
    line, complete, _ = text.partition("\r\n")
    _check_line(line, _LINE if complete else _LINE_BEGUN)
    if text.count("\n") != text.count("\r\n"):
        raise InvalidRequest("The request is not HTTP/1.1: a line does not end with CR and LF.")
    return None


def _parsed(text: str) -> Head:
    """The head that a text is, from its first line to the end of its last header."""
    line = text.partition("\r\n")[0]
    _check_line(line, _LINE)
    fields = _FIELD.findall(text, len(line) + 2)
    if " \r\n" in text or "\t\r\n" in text:
        fields = [(name, value.rstrip("\t ")) for name, value in fields]
    if len(fields) + 1 != text.count("\n"):
        raise InvalidRequest("The request is not HTTP/1.1: a header is not a name, a colon and a value.")
    if len(fields) > MAX_HEADERS:
        raise HeadTooLarge("A request has at most {most} headers.", most=MAX_HEADERS)
    method, target, version = line.split(" ")
    return Head(method, target, version[5:], fields)


@functools.lru_cache(maxsize=KNOWN_HEADS)
def _known(data: bytes) -> Head:
    return _parsed(data.decode("latin-1"))


def _check_line(line: str, grammar: re.Pattern[str]) -> None:
    if grammar.match(line):
        return
    if line.startswith("\x16\x03"):  # RFC 8446 section 5.1: a handshake
        raise InvalidRequest("This is HTTP/1.1 without TLS: the URL begins with http: or ws:, or a proxy ends TLS.")
    raise InvalidRequest("The request is not HTTP/1.1: it does not begin like 'GET /orders/42 HTTP/1.1'.")


def _meta(fields: list[tuple[str, str]]) -> dict[str, str]:
    try:
        meta = {_keys[name]: value for name, value in fields}
    except KeyError:
        meta = {}
    if len(meta) == len(fields):
        return meta
    meta = {}
    for name, value in fields:
        key = _key(name)
        if key in _ONCE and key in meta:
            raise InvalidRequest("A request has one {name!r} header.", name=name)
        if "_" not in name:  # X_Forwarded_For would be taken for X-Forwarded-For, which a proxy has checked.
            meta[key] = f"{meta[key]},{value}" if key in meta else value
    return meta


def _key(name: str) -> str:
    key = name.upper().replace("-", "_")
    if key not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
        key = "HTTP_" + key
    if "_" not in name and len(_keys) < KNOWN_NAMES:
        _keys[name] = key
    return key
