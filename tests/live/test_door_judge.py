"""The door, h11 (which keeps RFC 9112 to the letter) and nginx take the same requests for valid. Where they differ, the
reason stands here."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path

import h11
import pytest

from tests.doors import Daphne, converse, open_door
from tests.live import servers
from tests.live.conftest import Start
from tests.live.nginx import nginx
from tests.live.test_http_refusals import CHUNKED, FORBIDDEN, HOST, TEXT, post
from tests.live.waiting import TIMEOUT
from tests.live.wires import publish, request

VALID, INVALID, INCOMPLETE = "valid", "invalid", "incomplete"


def get(*lines: bytes) -> bytes:
    return b"\r\n".join([b"GET /a HTTP/1.1", HOST, *lines]) + b"\r\n\r\n"


def chunked(body: bytes) -> bytes:
    return post(HOST, TEXT, CHUNKED, body=body)


ODD = FORBIDDEN | {
    "a plain request": get(),
    "HTTP/1.0 without a host": b"GET /a HTTP/1.0\r\n\r\n",
    "HTTP/1.0 with two hosts": b"GET /a HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
    "no headers": b"GET /a HTTP/1.1\r\n\r\n",
    "an empty host": b"GET /a HTTP/1.1\r\nHost:\r\n\r\n",
    "a host with a port": b"GET /a HTTP/1.1\r\nHost: localhost:8000\r\n\r\n",
    "a host of IPv6": b"GET /a HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n",
    "a host with a user": b"GET /a HTTP/1.1\r\nHost: a@localhost\r\n\r\n",
    "a host with a tab": b"GET /a HTTP/1.1\r\nHost: local\thost\r\n\r\n",
    "a host with a byte over 127": b"GET /a HTTP/1.1\r\nHost: \xff\r\n\r\n",
    "an absolute target": b"GET http://localhost/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an absolute target without a path": b"GET http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "the target *": b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a target without a slash": b"GET a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a fragment in the target": b"GET /a#b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a quote in the target": b'GET /"a" HTTP/1.1\r\nHost: localhost\r\n\r\n',
    "a control byte in the target": b"GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a DEL in the target": b"GET /\x7f HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a tab in the target": b"GET /\ta HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two spaces before the target": b"GET  /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two spaces before the version": b"GET /a  HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a space behind the version": b"GET /a HTTP/1.1 \r\nHost: localhost\r\n\r\n",
    "a space before the method": b" GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a tab before the version": b"GET /a\tHTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an empty line first": b"\r\n" + get(),
    "five empty lines first": b"\r\n" * 5 + get(),
    "a bare LF first": b"\n" + get(),
    "a bare CR first": b"\r" + get(),
    "a method in lower case": b"get /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an unknown method": b"BREW /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a known method": b"PROPFIND /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a method with a slash": b"G/T /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/0.9": b"GET /a HTTP/0.9\r\nHost: localhost\r\n\r\n",
    "HTTP/11": b"GET /a HTTP/11\r\nHost: localhost\r\n\r\n",
    "HTTP/1.10": b"GET /a HTTP/1.10\r\nHost: localhost\r\n\r\n",
    "http/1.1": b"GET /a http/1.1\r\nHost: localhost\r\n\r\n",
    "RTSP": b"DESCRIBE /a RTSP/1.0\r\nHost: localhost\r\n\r\n",
    "an empty value": get(b"X-A:"),
    "no space behind the colon": get(b"X-A:1"),
    "many spaces around the value": get(b"X-A: \t  1 \t "),
    "a tab within the value": get(b"X-A: 1\t2"),
    "bytes over 127 in the value": get(b"X-A: \xff\xc3\xa9"),
    "a control byte in the value": get(b"X-A: \x01"),
    "a DEL in the value": get(b"X-A: \x7f"),
    "a vertical tab in the value": get(b"X-A: 1\x0b2"),
    "a name with an underscore": get(b"X_A: 1"),
    "a name of marks": get(b"!#$%&'*+-.^_`|~: 1"),
    "a name with a slash": get(b"X/A: 1"),
    "a name with a byte over 127": get(b"X\xff: 1"),
    "a name with a quote": get(b'X"A: 1'),
    "a name with parentheses": get(b"X(A): 1"),
    "the same header twice": get(b"X-A: 1", b"X-A: 2"),
    "a length of zero": get(b"Content-Length: 0"),
    "a length with zeros": post(HOST, TEXT, b"Content-Length: 0001", body=b"x"),
    "a length with a space behind": post(HOST, TEXT, b"Content-Length: 1 ", body=b"x"),
    "a length with a point": post(HOST, TEXT, b"Content-Length: 1.0", body=b"x"),
    "a length with an underscore": post(HOST, TEXT, b"Content-Length: 1_0", body=b"x" * 10),
    "a length of other digits": post(HOST, TEXT, b"Content-Length: \xb2", body=b"xx"),
    "a length with a space within": post(HOST, TEXT, b"Content-Length: 1 0", body=b"x" * 10),
    "a body too short": post(HOST, TEXT, b"Content-Length: 9", body=b"short"),
    "chunks": chunked(b"1\r\nx\r\n0\r\n\r\n"),
    "chunks in capitals": post(HOST, TEXT, b"TRANSFER-ENCODING: CHUNKED", body=b"1\r\nx\r\n0\r\n\r\n"),
    "gzip": post(HOST, TEXT, b"Transfer-Encoding: gzip", body=b"x"),
    "gzip and chunks": post(HOST, TEXT, b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "identity": post(HOST, TEXT, b"Transfer-Encoding: identity", body=b"x"),
    "an empty coding": post(HOST, TEXT, b"Transfer-Encoding:", body=b"x"),
    "chunks with a comma": post(HOST, TEXT, b"Transfer-Encoding: chunked,", body=b"0\r\n\r\n"),
    "chunks with a parameter": post(HOST, TEXT, b"Transfer-Encoding: chunked;a=b", body=b"0\r\n\r\n"),
    "chunks in HTTP/1.0 with a length": b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nx",
    "a chunk in capitals": chunked(b"A\r\n" + b"x" * 10 + b"\r\n0\r\n\r\n"),
    "a chunk with zeros": chunked(b"00001\r\nx\r\n000\r\n\r\n"),
    "an extension": chunked(b"1;a=b\r\nx\r\n0\r\n\r\n"),
    "an extension in quotes": chunked(b'1;a="b;c"\r\nx\r\n0\r\n\r\n'),
    "a space before the extension": chunked(b"1 ;a\r\nx\r\n0\r\n\r\n"),
    "a space behind the size": chunked(b"1 \r\nx\r\n0\r\n\r\n"),
    "an empty extension": chunked(b"1;\r\nx\r\n0\r\n\r\n"),
    "a trailer": chunked(b"0\r\nX-A: 1\r\n\r\n"),
    "a trailer with a length": chunked(b"0\r\nContent-Length: 5\r\n\r\n"),
    "a trailer with a folded line": chunked(b"0\r\nX-A: 1\r\n 2\r\n\r\n"),
    "a trailer with a space before the colon": chunked(b"0\r\nX-A : 1\r\n\r\n"),
    "a trailer with a bare CR": chunked(b"0\r\nX-A: 1\r2\r\n\r\n"),
    "a last chunk without its end": chunked(b"0\r\n"),
    "an expectation": publish("/a", b"x", "Expect: 100-continue"),
    "an unknown expectation": publish("/a", b"x", "Expect: wonders"),
    "an upgrade without a connection": get(b"Upgrade: websocket"),
    "an upgrade to something else": get(b"Connection: Upgrade", b"Upgrade: h2c"),
    "a body of GET": request("GET", "/a", b"body"),
}

BYTES = [*range(33), *b'"#,/:@\\\\', 0x7F, 0x80, 0xFF]
PLACES = {
    "method": b"G%bET /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "target": b"GET /a%bb HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "version": b"GET /a HTTP/1.%b1\r\nHost: localhost\r\n\r\n",
    "name": b"GET /a HTTP/1.1\r\nHost: localhost\r\nX%bA: 1\r\n\r\n",
    "value": b"GET /a HTTP/1.1\r\nHost: localhost\r\nX-A: 1%b2\r\n\r\n",
    "host": b"GET /a HTTP/1.1\r\nHost: local%bhost\r\n\r\n",
}
ODD |= {f"byte {byte:#04x} in the {place}": PLACES[place] % bytes([byte]) for place in PLACES for byte in BYTES}


def explained(kind: str, reasons: dict[str, str]) -> bool:
    """Whether the reason for a difference is given, for this request or for all with a byte in its place."""
    return kind in reasons or re.sub("^byte .* in", "a byte in", kind) in reasons


STRICTER = {
    "one length twice": "RFC 9112 section 6.3 lets a server refuse it; proxies may take either",
    "a list of lengths": "likewise",
    "a length beyond 64 bits": "h11 waits for a body of any length",
    "length, then chunks": "section 6.1: it may be an attempt to smuggle a request; h11 takes the chunks",
    "chunks, then length": "likewise",
    "chunks in HTTP/1.0": "section 6.1: the framing counts as faulty; h11 takes it as a request without a body",
    "chunks in HTTP/1.0 with a length": "likewise; h11 takes the chunks",
    "a folded header": "section 5.2: a server refuses it, or replaces it",
    "a trailer with a folded line": "likewise",
    "a bare LF": "section 2.2 allows it as the end of a line; a proxy before the server may not take it so",
    "bare LFs": "likewise",
    "a host with a space": "section 3.2: a value that is no host is refused; h11 does not look",
    "a host with a slash": "likewise",
    "a host with a user": "likewise",
    "a host with a tab": "likewise",
    "a host with a byte over 127": "likewise",
    "two types": "the door cannot know which of them is meant",
    "HTTP/2": "h11 leaves the version to its caller",
    "HTTP/1.2": "likewise",
    "HTTP/0.9": "likewise",
    "a target without a slash": "section 3.2: it is of none of the four forms; h11 does not look",
    "a control byte in the value": "RFC 9110 section 5.5: it is not allowed; h11 refuses only NUL, CR and LF",
    "a DEL in the value": "likewise",
    "chunked: a size of 17 digits": "h11 has a limit of 20",
    "chunked: a CR within the extension": "RFC 9112 section 7.1.1: extensions are tokens or quoted; h11 does not look",
    "chunked: a NUL within the extension": "likewise",
    "chunked: an extension without end": "its limit is 1 kB; that of h11 is its buffer",
    "chunked: a trailer without end": "its limit is 8 kB; that of h11 is its buffer",
    "a byte in the value": "RFC 9110 section 5.5 allows no control bytes; h11 refuses only NUL, CR and LF",
    "a byte in the host": "RFC 9112 section 3.2: a value that is no host is refused; h11 does not look",
}

MORE_LENIENT = {
    "an empty line first": "section 2.2: a server skips at least one",
    "five empty lines first": "likewise",
    "a space before the extension": "section 7.1.1 allows it",
}


PASSED_BY_NGINX = {
    "a bare LF": "section 2.2 allows it as the end of a line; nginx writes the request anew",
    "bare LFs": "likewise",
    "a bare LF first": "likewise",
    "a byte in the target": "nginx takes bytes over 127, and a bare LF as the end of a request of HTTP/0.9",
    "a byte over 127 in the target": "likewise; RFC 3986 has none in a URI",
    "a bare CR first": "nginx takes it for an empty line",
    "two spaces before the target": "section 3 lets a server split the line by words",
    "two spaces before the version": "likewise",
    "a space behind the version": "likewise",
    "HTTP/1.2": "nginx takes it as HTTP/1.1",
    "HTTP/1.10": "likewise",
    "two types": "nginx takes the last one",
    "a host with a user": "nginx looks only for dots, slashes, spaces and control bytes",
    "a host with a byte over 127": "likewise",
    "a byte in the host": "likewise",
    "a control byte in the value": "nginx refuses only NUL, and passes the rest on to the door, which does not take it",
    "a DEL in the value": "likewise",
    "a vertical tab in the value": "likewise",
    "a byte in the value": "likewise",
    "a name with a slash": "nginx leaves out headers whose name is not made of letters, digits and hyphens",
    "a name with a byte over 127": "likewise",
    "a name with a quote": "likewise",
    "a name with parentheses": "likewise",
    "a byte in the name": "likewise",
    "chunked: a size of 17 digits": "nginx has a limit of bytes, not of digits; it sends the body on by its length",
    "chunked: a line that ends in LF": "nginx takes it, and sends the body on by its length",
    "chunked: a NUL within the extension": "nginx skips extensions without looking",
    "chunked: an extension without end": "likewise",
    "chunked: a trailer that is none": "nginx skips trailers without looking",
    "chunked: a trailer without end": "likewise",
    "a trailer with a folded line": "likewise",
    "a trailer with a space before the colon": "likewise",
}
"""The door does not take them; nginx makes something of them, and sends on what it has made, so no two servers read one
request in two ways."""

REFUSED_BY_NGINX = {
    "an empty host": "section 3.2 allows it where the target has none",
    "the target *": "OPTIONS for the server as a whole; nginx serves no such request",
    "a method in lower case": "RFC 9110 section 9.1: a method is any token; nginx takes capital letters",
    "a byte in the method": "likewise",
}


def judged(data: bytes) -> str:
    """What h11 says of the first request."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
    connection.receive_data(data)
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                return INCOMPLETE
    except h11.RemoteProtocolError:
        return INVALID
    return VALID


def verdict_of(said: bytes, daphne: Daphne) -> str:
    if b'"invalid_request"' in said:
        return INVALID
    return VALID if said.startswith(b"HTTP/1.1 ") or daphne.handed_over else INCOMPLETE


@pytest.mark.parametrize("kind", ODD)
async def test_door_and_h11_agree(kind: str) -> None:
    daphne = Daphne()
    with open_door(daphne) as door:
        said = await converse(door, ODD[kind])
    verdict = verdict_of(said, daphne)
    if verdict == judged(ODD[kind]):
        assert kind not in STRICTER | MORE_LENIENT, said
    else:
        assert explained(kind, STRICTER if verdict == INVALID else MORE_LENIENT), said


def refused_by_nginx(port: int, data: bytes) -> bool:
    """Whether nginx answers itself, in place of the server behind it."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as client:
        client.sendall(data)
        said = b""
        while b"<center>nginx" not in said and b'"}' not in said and b"\r\n\r\n" not in said:
            if not (more := client.recv(65536)):
                break
            said += more
        if said.startswith(b"HTTP/") and b"Content-Type: text/html" in said:
            said += client.recv(65536)
    return b"<center>nginx" in said


async def test_door_and_nginx_agree(start: Start, tmp_path: Path) -> None:
    start(servers.serve, "-p", "0", "-u", str(tmp_path / "s"), env={"EVENTCAST_TRUSTED_PROXIES": "unix"})
    front = start(nginx, tmp_path / "s")
    differing = {}
    for kind, data in ODD.items():
        daphne = Daphne()
        with open_door(daphne) as door:
            verdict = verdict_of(await converse(door, data), daphne)
        if verdict == INCOMPLETE:
            continue  # nginx waits for the rest, too.
        passed = not await asyncio.to_thread(refused_by_nginx, front.port, data)
        if passed != (verdict == VALID) and not explained(kind, PASSED_BY_NGINX if passed else REFUSED_BY_NGINX):
            differing[kind] = verdict
    assert differing == {}
