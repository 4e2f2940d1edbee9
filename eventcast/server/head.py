"""The head of a request: read by llhttp (``httptools``), then held to what RFC 9112 asks of a server."""

from __future__ import annotations

import re

import httptools

from eventcast.exceptions import HeadTooLarge, InvalidRequest

MAX_HEAD = 32 * 1024
"""Bytes of a head: the request line and all headers."""

MAX_HEADERS = 200

_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
_HOST = re.compile(rb"[A-Za-z0-9._~:\[\]%!$&'()*+,;=-]*\Z")


class Head:
    """The head of one request.

    :attr headers: names in lower case, and values, in their order.
    :attr fields: the same by name; of several with one name the last.
    :raises InvalidRequest, HeadTooLarge: as :meth:`feed`.
    """

    __slots__ = ("_parser", "_size", "_tail", "_target", "complete", "fields", "headers", "method", "target", "version")

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._size = 0
        self._tail = b""
        """The last bytes of what has come, in which the empty line may begin."""
        self._target = b""
        self.complete = False
        self.headers: list[tuple[bytes, bytes]] = []
        self.fields: dict[bytes, bytes] = {}
        self.method = ""
        self.target = b""
        self.version = ""

    # llhttp calls these.
    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value = name.lower(), value.rstrip(b" \t")  # llhttp strips only what stands before (RFC 9112 section 5.1)
        self.headers.append((name, value))
        self.fields[name] = value

    def on_headers_complete(self) -> None:
        self.complete = True

    @property
    def begun(self) -> bool:
        """Whether anything has come."""
        return self._size > 0

    def feed(self, data: bytes) -> bytes | None:
        """Read on; returns what comes after the head, None if the head has not come to its end.

        :raises InvalidRequest: it breaks the rules of HTTP/1.1.
        :raises HeadTooLarge: it has more than :data:`MAX_HEAD` bytes or :data:`MAX_HEADERS` headers.
        """
        data = self._tail + data
        start, search = len(self._tail), 0
        while start < len(data) and not self.complete:
            # Up to the first empty line, so that what comes after the head is not parsed. Before a request there may be
            # empty lines (RFC 9112 section 2.2), after which it goes on.
            found = data.find(b"\r\n\r\n", search)
            end = found + 4 if found >= 0 else len(data)
            self._size += end - start
            if self._size > MAX_HEAD:
                raise HeadTooLarge(f"The head of a request has at most {MAX_HEAD} bytes.")
            try:
                self._parser.feed_data(data[start:end] if start or end < len(data) else data)
            except httptools.HttpParserUpgrade:
                pass
            except httptools.HttpParserError as error:
                if not self.complete:
                    raise InvalidRequest(f"The request is not HTTP/1.1: {error!s:.100}.") from None
                raise InvalidRequest(f"The request cannot be read: {error!s:.100}.") from None
            start = search = end
        if not self.complete:
            self._tail = data[-3:]
            return None
        self._check()
        return data[start:]

    def _check(self) -> None:
        parser = self._parser
        self.method = parser.get_method().decode("latin-1")
        self.version = parser.get_http_version()
        if len(self.headers) > MAX_HEADERS:
            raise HeadTooLarge(f"A request has at most {MAX_HEADERS} headers.")
        if self.version not in ("1.0", "1.1"):
            raise InvalidRequest("The version of HTTP is 1.0 or 1.1.", status=505)
        if len(self.fields) < len(self.headers):
            names = [name for name, _ in self.headers]
            for name in (b"host", b"content-type", b"transfer-encoding"):
                if names.count(name) > 1:
                    raise InvalidRequest(f"A request has one {name.decode()!r} header.")
        target = self._target
        if (absolute := _ABSOLUTE.match(target)) is not None:
            # RFC 9112 section 3.2.2: what the target says counts, whatever the header says.
            target = target[absolute.end() :] or b"/"
            target = target if target.startswith(b"/") else b"/" + target
            self.fields[b"host"] = absolute[1]
            self.headers = [each for each in self.headers if each[0] != b"host"] + [(b"host", absolute[1])]
        elif self.version == "1.1" and b"host" not in self.fields:
            raise InvalidRequest("A request of HTTP/1.1 has a Host header.")
        if not _HOST.match(self.fields.get(b"host", b"")):
            raise InvalidRequest("The Host header is not the name of a host.")
        if not target.startswith(b"/") and target != b"*":
            raise InvalidRequest("The target of a request is a path, such as /orders/42.")
        self.target = target
        encoding = self.fields.get(b"transfer-encoding")
        if encoding is not None:
            if self.version == "1.0" or b"content-length" in self.fields:
                raise InvalidRequest("Send either Transfer-Encoding, with HTTP/1.1, or Content-Length.")
            if encoding.strip().lower() != b"chunked":
                raise InvalidRequest("The only Transfer-Encoding is chunked.", status=501)

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants the connection to stay open after the answer (RFC 9112 section 9.3)."""
        if b"connection" not in self.fields:
            return self.version == "1.1"
        options = [each.strip() for each in self.fields[b"connection"].lower().split(b",")]
        return b"close" not in options and (self.version == "1.1" or b"keep-alive" in options)

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for a word before it sends the body (RFC 9110 section 10.1.1)."""
        return self.version == "1.1" and self.fields.get(b"expect", b"").lower() == b"100-continue"

    @property
    def upgrades(self) -> bool:
        """Whether the client asks for a WebSocket (RFC 6455 section 4.2.1)."""
        if b"upgrade" not in self.fields:
            return False
        options = [each.strip() for each in self.fields.get(b"connection", b"").lower().split(b",")]
        return b"upgrade" in options and self.fields.get(b"upgrade", b"").strip().lower() == b"websocket"

    @property
    def length(self) -> int | None:
        """Bytes of the body; None if it comes in chunks."""
        if b"transfer-encoding" in self.fields:
            return None
        return int(self.fields.get(b"content-length", b"0"))

    def for_daphne(self, length: int | None = None) -> bytes:
        """The head as Daphne gets it: the connection ends after this request, so that the next one comes to the door;
        and without the header that changes the root path, which clients must not send.

        :param length: the length of the body, where it was read already.
        """
        left_out = {b"daphne-root-path", b"connection"}
        if not self.upgrades:
            left_out.add(b"upgrade")  # Daphne would take it for a handshake, and hang up.
        if length is not None:
            left_out |= {b"content-length", b"transfer-encoding", b"expect"}
        lines = [b"%b: %b\r\n" % each for each in self.headers if each[0] not in left_out]
        lines.append(b"connection: Upgrade\r\n" if self.upgrades else b"connection: close\r\n")
        if length is not None:
            lines.append(b"content-length: %d\r\n" % length)
        return b"%b %b HTTP/%b\r\n%b\r\n" % (
            self.method.encode(),
            self.target,
            self.version.encode(),
            b"".join(lines),
        )
