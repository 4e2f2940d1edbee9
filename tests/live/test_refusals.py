"""What is wrong with a request is said, and neither a listener nor the server notices it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.live.bodies import END, FORM, MIB, MULTIPART, part
from tests.live.conftest import Connect, Talk
from tests.live.http_client import Headers
from tests.live.servers import Server

SERVER = ""
"""In place of an error's code: the server itself turns the request down, before anything here sees it."""


@dataclass
class Bad:
    """A request that is to be refused."""

    status: int
    code: str
    body: bytes = b""
    kind: str | None = FORM
    method: str = "POST"
    headers: Headers = ()


REFUSALS = {
    "form without data": Bad(400, "missing_data", b"date=hello"),
    "form, nothing in it": Bad(400, "missing_data", b""),
    "form, data in another case": Bad(400, "missing_data", b"Data=hello"),
    "form, not UTF-8": Bad(400, "invalid_encoding", b"data=%FF"),
    "form, bytes not UTF-8": Bad(400, "invalid_encoding", b"data=\xff"),
    "form, one of two not UTF-8": Bad(400, "invalid_encoding", b"data=good&data=%FF"),
    "form, surrogate": Bad(400, "invalid_encoding", b"data=%ED%A0%80"),
    "form, too many fields": Bad(413, "too_many_messages", b"a=1&" * 10_001),
    "form, too many stray percent signs": Bad(400, "malformed_body", b"data=" + b"%" * 100_001),
    "ndjson, too many lines": Bad(413, "too_many_messages", b"1\n" * 4_000_000, "application/x-ndjson"),
    "nothing at all": Bad(400, "missing_data", kind=None),
    "multipart without data": Bad(400, "missing_data", part(b"x", name="other") + END, MULTIPART),
    "multipart, empty": Bad(400, SERVER, END, MULTIPART),
    "multipart, no boundary": Bad(400, SERVER, part(b"x") + END, "multipart/form-data"),
    "multipart, bad boundary": Bad(400, SERVER, part(b"x") + END, "multipart/form-data; boundary=\xe9"),
    "multipart, not UTF-8": Bad(400, "invalid_encoding", part(b"\xff") + END, MULTIPART),
    "multipart text file, not UTF-8": Bad(
        400, "invalid_encoding", part(b"\xff", filename="a", kind="text/plain") + END, MULTIPART
    ),
    "text, not UTF-8": Bad(400, "invalid_encoding", b"\xff", "text/plain"),
    "text, a cut character": Bad(400, "invalid_encoding", "张".encode()[:2], "text/plain"),
    "text, a surrogate": Bad(400, "invalid_encoding", b"\xed\xa0\x80", "text/plain"),
    "text, lone surrogate of UTF-16": Bad(400, "invalid_encoding", b"\x00\xd8", "text/plain; charset=utf-16-le"),
    "text, of a charset that takes long": Bad(
        415, "unsupported_media_type", b"a-" * 400_000, "text/plain; charset=punycode"
    ),
    "JSON, not UTF-8": Bad(400, "invalid_encoding", b'"\xff"', "application/json"),
    "ndjson, not UTF-8": Bad(400, "invalid_encoding", b"1\n\xff\n", "application/x-ndjson"),
    "ndjson, empty": Bad(400, "missing_data", b"", "application/x-ndjson"),
    "ndjson, blank lines": Bad(400, "missing_data", b"\n\r\n \n", "application/x-ndjson"),
    "unknown charset": Bad(415, "unsupported_media_type", b"x", "text/plain; charset=klingon"),
    "charset that is a transformation": Bad(415, "unsupported_media_type", b"x", "text/plain; charset=base64"),
    "charset that is no name": Bad(400, SERVER, b"x", "text/plain; charset=\0"),
    "compressed": Bad(415, "unsupported_media_type", b"x", "text/plain", headers=[("Content-Encoding", "gzip")]),
    "a byte too much": Bad(413, "message_too_large", b"x" * (MIB + 1), "text/plain"),
    "a byte too much, Chinese": Bad(413, "message_too_large", "张".encode() * (MIB // 3) + b"xx", "text/plain"),
    "a byte too much, binary": Bad(413, "message_too_large", b"x" * (MIB + 1), "application/octet-stream"),
    "a byte too much, form": Bad(413, "message_too_large", b"data=" + b"x" * (MIB + 1)),
    "a byte too much, encoded": Bad(413, "message_too_large", b"data=" + b"%41" * (MIB + 1)),
    "a byte too much, one of two": Bad(413, "message_too_large", b"data=good&data=" + b"x" * (MIB + 1)),
    "a byte too much, field": Bad(413, "message_too_large", part(b"x" * (MIB + 1)) + END, MULTIPART),
    "a byte too much, file": Bad(
        413,
        "message_too_large",
        part(b"x" * (MIB + 1), filename="a", kind="application/octet-stream") + END,
        MULTIPART,
    ),
    "field far too large": Bad(413, "message_too_large", part(b"x" * 3 * MIB) + END, MULTIPART),
    "body far too large": Bad(413, "message_too_large", b"x" * 9 * MIB, "text/plain"),
    "body far too large, multipart": Bad(413, "message_too_large", part(b"x" * 9 * MIB) + END, MULTIPART),
    "body far too large, ndjson": Bad(413, "message_too_large", b"1\n" * 5 * MIB, "application/x-ndjson"),
    "DELETE": Bad(405, "method_not_allowed", method="DELETE", kind=None),
    "PATCH": Bad(405, "method_not_allowed", b"data=x", method="PATCH"),
    "method of others": Bad(405, "method_not_allowed", method="PROPFIND", kind=None),
    "method of nothing": Bad(405, "method_not_allowed", method="BREW", kind=None),
    "Host that is not ours": Bad(400, "disallowed_host", b"data=x", headers=[("X-Host", "example.com")]),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_refusal_says_why_and_disturbs_nobody(
    name: str, server: Server, channel: str, connect: Connect, http: Talk
) -> None:
    bad = REFUSALS[name]
    listener, speaker = await connect(server, channel), http(server)
    headers = [*([("Content-Type", bad.kind)] if bad.kind else []), *bad.headers]
    request = speaker.encode(bad.method, channel, bad.body, headers)
    if name == "Host that is not ours":
        request = request.replace(b"Host: 127.0.0.1:%d\r\n" % server.port, b"").replace(b"X-Host", b"Host")
    await speaker.send(request)
    answer = await speaker.read_response()
    assert answer.status == bad.status
    assert bad.code == SERVER or answer.error == bad.code
    if bad.status == 405:
        assert {"GET", "POST", "PUT"} <= set(answer.headers["allow"].split(", "))
    # And the server is as it was: who listened still does, has got nothing, and hears the next message.
    assert (await speaker.post(channel, "the next")).json() == {"channel": channel, "messages": 1, "subscribers": 1}
    assert await listener.receive() == "the next"


async def test_host_that_is_not_ours_is_a_short_line_in_the_log(server: Server, http: Talk) -> None:
    seen, client = len(server.log), http(server)
    request = client.encode("GET", "/admin/", b"", [("X-Host", "x" * 10_000)])
    await client.send(request.replace(b"Host: 127.0.0.1:%d\r\n" % server.port, b"").replace(b"X-Host", b"Host"))
    assert (await client.read_response()).status == 400
    server.wait_for_log("DisallowedHost: Invalid HTTP_HOST.*…", since=seen)
    assert all(len(line) < 700 for line in server.log[seen:].splitlines())


async def test_refused_batch_sends_none_of_it(server: Server, channel: str, connect: Connect, http: Talk) -> None:
    listener, speaker = await connect(server, channel), http(server)
    answer = await speaker.post(channel, b"1\n2\n" + b"x" * (MIB + 1) + b"\n3", "application/x-ndjson")
    assert (answer.status, answer.error) == (413, "message_too_large")
    await speaker.post(channel, "the next")
    assert await listener.receive() == "the next"


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=-1", "limit=1001", "limit=%D9%A1", "limit="])
async def test_list_refuses_a_limit_that_means_nothing(query: str, server: Server, http: Talk) -> None:
    answer = await http(server).request("GET", f"/-/channels?{query}")
    assert (answer.status, answer.error) == (400, "invalid_query")


async def test_list_takes_no_message(server: Server, http: Talk) -> None:
    answer = await http(server).post("/-/channels", "hello")
    assert (answer.status, answer.error, answer.headers["allow"]) == (405, "method_not_allowed", "GET, HEAD")
