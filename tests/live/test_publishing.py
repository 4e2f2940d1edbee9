"""Every form in which a message may be sent arrives as it should."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.live import servers
from tests.live.bodies import END, FORM, MIB, MULTIPART, part
from tests.live.conftest import Connect, Open, Start, Talk
from tests.live.servers import Server

FORMS: dict[str, tuple[str, bytes, list[str | bytes]]] = {
    "form": (FORM, b"data=hello", ["hello"]),
    "form, percent-encoded": (FORM, b"data=%E5%BC%A0%E4%B8%89+%26%3D%00%0A", ["张三 &=\0\n"]),
    "form, not encoded": (FORM, "data=张三".encode(), ["张三"]),
    "form, name encoded": (FORM, b"%64ata=hello", ["hello"]),
    "form, repeated": (FORM, b"data=1&other=x&data=2&data=3", ["1", "2", "3"]),
    "form, empty": (FORM, b"data=", [""]),
    "form, without a sign": (FORM, b"data", [""]),
    "form, several empty": (FORM, b"data=&data=1&data=", ["", "1", ""]),
    "form, in latin-1": (f"{FORM}; charset=latin-1", b"data=\xe9", ["é"]),
    "multipart field": (MULTIPART, part(b"hello") + END, ["hello"]),
    "multipart field, Chinese": (MULTIPART, part("张三\r\n".encode()) + END, ["张三\r\n"]),
    "multipart field, empty": (MULTIPART, part(b"") + END, [""]),
    "multipart, repeated": (MULTIPART, part(b"1") + part(b"x", name="other") + part(b"2") + END, ["1", "2"]),
    "multipart file, binary": (
        MULTIPART,
        part(b"\x00\xff\r\n--xy", filename="a.bin", kind="application/octet-stream") + END,
        [b"\x00\xff\r\n--xy"],
    ),
    "multipart file, text": (
        MULTIPART,
        part("张".encode(), filename="a.txt", kind="text/plain; charset=utf-8") + END,
        ["张"],
    ),
    "multipart file, JSON": (MULTIPART, part(b"{}", filename="a.json", kind="application/json") + END, ["{}"]),
    "multipart file, empty": (
        MULTIPART,
        part(b"", filename="a.bin", kind="application/octet-stream") + END,
        [b""],
    ),
    "text/plain": ("text/plain", "hello 张三\0\r\n".encode(), ["hello 张三\0\r\n"]),
    "text/plain, empty": ("text/plain", b"", [""]),
    "text/plain, in UTF-16": ("text/plain; charset=utf-16", "张三".encode("utf-16"), ["张三"]),
    "text/html": ("text/html; charset=UTF-8", b"<p>", ["<p>"]),
    "JSON": ("application/json", b' {"a": [1, 2]}\n', [' {"a": [1, 2]}\n']),
    "JSON that is none": ("application/json", b"{not json", ["{not json"]),
    "+json": ("application/ld+json; profile=x", b"{}", ["{}"]),
    "octet-stream": ("application/octet-stream", bytes(range(256)), [bytes(range(256))]),
    "octet-stream, empty": ("application/octet-stream", b"", [b""]),
    "image": ("image/png", b"\x89PNG", [b"\x89PNG"]),
    "unheard of": ("x-made/up", b"\xff", [b"\xff"]),
    "upper case": ("TEXT/PLAIN", b"hello", ["hello"]),
    "ndjson": ("application/x-ndjson", '{"a":1}\n"张"\n3\n'.encode(), ['{"a":1}', '"张"', "3"]),
    "ndjson, last line open": ("application/x-ndjson", b'1\n"\xe2\x80\xa8"', ["1", '"\u2028"']),
    "ndjson, blank lines": ("application/x-ndjson", b"\r\n1\r\n\n \n2\r\n", ["1", "2"]),
}
"""Content-Type, body, and the messages it carries."""


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("form", FORMS)
async def test_message_arrives(
    form: str, method: str, server: Server, channel: str, connect: Connect, http: Talk
) -> None:
    kind, body, messages = FORMS[form]
    listener = await connect(server, channel)
    answer = await http(server).request(method, channel, body, [("Content-Type", kind)])
    assert (answer.status, answer.json()) == (201, {"channel": channel, "messages": len(messages), "subscribers": 1})
    assert answer.headers["content-type"] == "application/json"
    assert await listener.receive_many(len(messages)) == messages
    await listener.ping()
    assert not listener.messages


async def test_body_without_a_type_is_binary(server: Server, channel: str, connect: Connect, http: Talk) -> None:
    listener = await connect(server, channel)
    assert (await http(server).request("POST", channel, b"hello")).status == 201
    assert await listener.receive() == b"hello"


async def test_chunked_body_arrives(server: Server, channel: str, connect: Connect, http: Talk) -> None:
    listener, speaker = await connect(server, channel), http(server)
    head = (
        f"POST {channel} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    await speaker.send(head.encode() + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
    assert (await speaker.read_response()).status == 201
    assert await listener.receive() == "hello"


async def test_publish_without_a_listener_is_202(server: Server, channel: str, http: Talk) -> None:
    answer = await http(server).post(channel, "hello")
    assert (answer.status, answer.json()) == (202, {"channel": channel, "messages": 1, "subscribers": 0})


async def test_publish_counts_all_listeners(server: Server, channel: str, connect: Connect, http: Talk) -> None:
    listeners = [await connect(server, channel) for _ in range(20)]
    answer = await http(server).post(channel, "hello")
    assert (answer.status, answer.json()["subscribers"]) == (201, 20)
    for listener in listeners:
        assert await listener.receive() == "hello"


async def test_pipelined_publishes_arrive_in_order(server: Server, channel: str, connect: Connect, http: Talk) -> None:
    listener, speaker = await connect(server, channel), http(server)
    await speaker.send(
        b"".join(speaker.encode("POST", channel, b"%d" % n, [("Content-Type", "text/plain")]) for n in range(100))
    )
    for _ in range(100):
        assert (await speaker.read_response()).status == 201
    assert await listener.receive_many(100) == [str(n) for n in range(100)]


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("text/plain", b"x" * MIB, "x" * MIB),
        ("text/plain", "张".encode() * (MIB // 3) + b"x", "张" * (MIB // 3) + "x"),
        ("application/octet-stream", b"\xff" * MIB, b"\xff" * MIB),
        (FORM, b"data=" + b"x" * MIB, "x" * MIB),
        (FORM, b"data=" + b"%41" * MIB, "A" * MIB),
        (FORM, b"data=" + quote("张" * (MIB // 3)).encode(), "张" * (MIB // 3)),
        (MULTIPART, part(b"x" * MIB) + END, "x" * MIB),
        (MULTIPART, part(b"\xff" * MIB, filename="a", kind="application/octet-stream") + END, b"\xff" * MIB),
    ],
    ids=["text", "Chinese", "binary", "form", "encoded form", "encoded Chinese form", "field", "file"],
)
async def test_largest_message_arrives(
    kind: str, body: bytes, message: str | bytes, server: Server, channel: str, connect: Connect, http: Talk
) -> None:
    listeners = [await connect(server, channel) for _ in range(3)]
    answer = await http(server).post(channel, body, kind)
    assert (answer.status, answer.json()["subscribers"]) == (201, 3)
    for listener in listeners:
        assert await listener.receive() == message


@pytest.mark.parametrize("start_server", [servers.daphne, servers.serve])
async def test_limits_follow_the_settings(
    start_server: servers.Starter, start: Start, channel: str, connect: Connect, http: Talk
) -> None:
    # Twice what Daphne sends at most by default: what may be published has to get through all the same.
    env = {"EVENTCAST_MAX_MESSAGE_SIZE": str(2 * MIB), "EVENTCAST_MAX_CHANNEL_LENGTH": "100"}
    server = start(start_server, env=env)
    listener, speaker = await connect(server, channel), http(server)
    assert (await speaker.post(channel, b"x" * 2 * MIB)).status == 201
    assert await listener.receive() == "x" * 2 * MIB
    assert (await speaker.post(channel, b"x" * (2 * MIB + 1))).status == 413
    assert (await speaker.post("/" + "x" * 100, b"x")).status == 414


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_asking_tells_no_listener(
    method: str, server: Server, channel: str, connect: Connect, http: Talk
) -> None:
    listener, asker = await connect(server, channel), http(server)
    answer = await asker.request(method, channel)
    assert answer.status == (204 if method == "OPTIONS" else 200)
    if method == "GET":
        found = answer.json()
        assert (found["channel"], found["subscribers"], found["scope"]) == (channel, 1, "process")
    await listener.ping()
    assert not listener.messages


async def test_half_a_request_harms_nobody(server: Server, channel: str, connect: Connect, http: Talk) -> None:
    listener, broken, speaker = await connect(server, channel), http(server), http(server)
    await broken.send(broken.encode("POST", channel, b"data=hello", [("Content-Type", FORM)])[:-3])
    assert (await speaker.post(channel, "one")).status == 201
    await broken.close()
    assert (await speaker.post(channel, json.dumps({"two": 2}))).status == 201
    assert await listener.receive_many(2) == ["one", '{"two": 2}']


async def test_name_of_an_event_is_in_streams(server: Server, channel: str, listen: Open, http: Talk) -> None:
    events = await listen(server, channel, "text/event-stream")
    lines = await listen(server, channel, "application/x-ndjson")
    assert (await http(server).post(f"{channel}?event=paid%20%E5%BC%A0", "42")).status == 201
    assert b"event: paid \xe5\xbc\xa0\ndata: 42\n" in await events.read_until(b"data: 42\n")
    assert json.loads((await lines.read_until(b"}\n")).splitlines()[-1])["event"] == "paid 张"
    refused = await http(server).post(f"{channel}?event=a%0Ab", "42")
    assert (refused.status, refused.error) == (400, "invalid_event_name")
