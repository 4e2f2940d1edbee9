"""One path, one channel: whatever the path is, listening and speaking mean the same by it, or both are refused."""

from __future__ import annotations

import itertools
import json
from urllib.parse import quote

import pytest

from tests.live import servers
from tests.live.clients import HandshakeRefused
from tests.live.conftest import AT_THE_DOOR, Connect, Start, Talk
from tests.live.http_client import HTTP, Headers
from tests.live.servers import Server
from tests.live.waiting import until

LONG = "/" + "long/" * 200  # 1 001 characters

CHANNELS = {
    b"/": "/",
    b"/a": "/a",
    b"/A": "/A",
    b"/a/": "/a/",
    b"//a": "//a",
    b"//a/b": "//a/b",
    b"///": "///",
    b"/a;b": "/a;b",
    b"/a;b=c/d;e": "/a;b=c/d;e",
    b"/a.b/..c": "/a.b/..c",
    b"/a%2Fb": "/a/b",
    b"/a/b": "/a/b",
    b"/a%2fb/c": "/a/b/c",
    b"/%61bc": "/abc",
    b"/a%20b": "/a b",
    b"/a+b": "/a+b",
    b"/a%0Ab": "/a\nb",
    b"/a%0A": "/a\n",
    b"/a%00b": "/a\0b",
    b"/a%7Fb": "/a\x7fb",
    b"/a%3Fb": "/a?b",
    b"/a%23b": "/a#b",
    b"/a%25b": "/a%b",
    b"/a%2525b": "/a%25b",
    b"/a%b": "/a%b",
    b"/a%zz": "/a%zz",
    b"/a\\b": "/a\\b",
    b"/a'\"<>`{|}^b": "/a'\"<>`{|}^b",
    b"/a&b=c": "/a&b=c",
    b"/a,b!c*d(e)~f": "/a,b!c*d(e)~f",
    b"/:": "/:",
    b"/http://example.com/a": "/http://example.com/a",
    b"/a@b:c": "/a@b:c",
    b"/[::1]": "/[::1]",
    b"/%E5%BC%A0%E4%B8%89/%F0%9F%98%80": "/张三/😀",
    b"/%C3%A9": "/é",
    b"/e%CC%81": "/e\u0301",
    b"/%EF%BF%BD": "/\ufffd",
    b"/%EF%BB%BFa": "/\ufeffa",
    b"/a?query=1": "/a",
    b"/a?": "/a",
    b"/a??b?c": "/a",
    b"/?/b": "/",
    b"/a%3Fb?c": "/a?b",
    b"/-a/x": "/-a/x",
    b"/a/-/x": "/a/-/x",
    b"/admin": "/admin",
    b"/adminx": "/adminx",
    b"/Admin/x": "/Admin/x",
    b"/static": "/static",
    b"/favicon.ico": "/favicon.ico",
    b"/robots.txt": "/robots.txt",
    LONG.encode(): LONG,
    LONG.encode() + b"?" + b"q" * 5000: LONG,
    b"/" + b"x" * 1023: "/" + "x" * 1023,
    quote("/" + "张" * 341).encode(): "/" + "张" * 341,
}
"""Request targets, byte for byte, and the channels they name."""

REFUSED = {
    b"/%FF": (400, "invalid_channel"),
    b"/%FE": (400, "invalid_channel"),
    b"/a/%E4%B8": (400, "invalid_channel"),
    b"/%C0%AF": (400, "invalid_channel"),
    b"/%ED%A0%80": (400, "invalid_channel"),
    b"/a/../b/./c": (400, "invalid_channel"),
    b"/a/%2E%2e/b": (400, "invalid_channel"),
    b"/a%2F..%2Fb": (400, "invalid_channel"),
    b"/.": (400, "invalid_channel"),
    b"/a/..?b": (400, "invalid_channel"),
    b"/" + b"x" * 1024: (414, "channel_too_long"),
    quote("/" + "张" * 342).encode(): (414, "channel_too_long"),
    b"/" + b"%E5%BC%A0" * 1500: (414, "channel_too_long"),
    b"/-/x": (404, "reserved_path"),
    b"/-/": (404, "reserved_path"),
    b"/%2D/x": (404, "reserved_path"),
    b"/-%2Fx": (404, "reserved_path"),
    b"//-/x": (404, "reserved_path"),
    b"///-/channels": (404, "reserved_path"),
}
"""Targets that are refused, with the status and the error's code."""

NOT_CHANNELS = [
    b"/admin/",
    b"/admin/x",
    b"/%61dmin/x",
    b"/admin%2Fx",
    b"/static/x",
    b"/static/../a",
    b"/-/channels",
    b"/-/channels?prefix=/a",
    b"http://example.com/a",
    b"http:a",
    b"a",
    b"%2Fa",
    b"a/b",
    b"*",
    b"?a",
    b"/a#b",
    b"/a#",
    b"/\xe5\xbc\xa0",
    b"/a?\xff",
    b"/a b",
    b"/a\tb",
    b"/a\x0cb",
    b"/a\x01b",
    b"",
    b"/" + b"x" * 20_000,
]
"""Targets that are refused on both sides, by whomever: another part of the site, the server, its parser."""

SPOOFED = [
    [("Daphne-Root-Path", "/a")],
    [("Daphne-Root-Path", "/")],
    [("Daphne-Root-Path", "/t")],
    [("Daphne-Root-Path", "/elsewhere")],
    [("Daphne-Root-Path", "/%FF")],
    [("Daphne-Root-Path", "/admin"), ("Script-Name", "/admin"), ("X-Forwarded-Prefix", "/admin")],
]


def name_of(value: object) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return ascii(text if len(text) < 40 else f"{text[:20]}...{len(text)}")[1:-1]


async def until_nobody_listens(asker: HTTP) -> None:
    async def is_so() -> bool:
        return (await asker.request("GET", "/-/channels")).json()["channels"] == []

    await until(is_so, "nobody listens")


@pytest.mark.parametrize("target", CHANNELS, ids=name_of)
async def test_path_means_the_same_to_both_sides(target: bytes, server: Server, connect: Connect, http: Talk) -> None:
    listener, speaker = await connect(server, target), http(server)
    answer = await speaker.post(target, "hello")
    assert (answer.status, answer.json()) == (
        201,
        {"channel": CHANNELS[target], "messages": 1, "subscribers": 1},
    )
    assert await speaker.count(target) == 1
    assert await listener.receive() == "hello"
    await listener.leave()
    await speaker.wait_for_count(target, 0)


async def test_two_paths_are_never_one_channel(server: Server, connect: Connect, http: Talk) -> None:
    by_name = {name: target for target, name in CHANNELS.items()}
    listeners = {name: await connect(server, target) for name, target in by_name.items()}
    speaker = http(server)
    for name, target in by_name.items():
        assert (await speaker.post(target, name)).json()["subscribers"] == 1
    for name, listener in listeners.items():
        await listener.ping()
        assert list(listener.messages) == [name]


async def test_names_with_a_slash_or_its_code_are_one_channel(server: Server, connect: Connect, http: Talk) -> None:
    listener = await connect(server, "/one%2Ftwo")
    assert (await http(server).post("/one/two", "hello")).status == 201
    assert await listener.receive() == "hello"


@pytest.mark.parametrize("target", REFUSED, ids=name_of)
async def test_path_is_refused_alike(target: bytes, server: Server, connect: Connect, http: Talk) -> None:
    status, code = REFUSED[target]
    answer = await http(server).post(target, "hello")
    assert (answer.status, answer.error) == (status, code)
    with pytest.raises(HandshakeRefused) as refused:
        await connect(server, target)
    assert (refused.value.status, refused.value.error) == (status, code)


@pytest.mark.parametrize("target", NOT_CHANNELS, ids=name_of)
async def test_path_is_nobodys_channel(target: bytes, server: Server, connect: Connect, http: Talk) -> None:
    everything = http(server)
    try:
        answer = await everything.post(target, "hello")
    except ConnectionResetError:
        pass  # A request line that is not one has no answer.
    else:
        assert 400 <= answer.status < 500, answer
    with pytest.raises((HandshakeRefused, ConnectionResetError)) as refused:
        await connect(server, target)
    assert getattr(refused.value, "status", 400) < 500
    await until_nobody_listens(everything)


@AT_THE_DOOR
async def test_whole_url_as_a_target_means_its_path(server: Server, channel: str, connect: Connect, http: Talk) -> None:
    # RFC 9112 section 3.2.2: a server has to accept it, though only proxies are sent it.
    target = f"http://127.0.0.1{channel}"
    listener = await connect(server, target)
    assert (await http(server).post(target, "hello")).json() == {"channel": channel, "messages": 1, "subscribers": 1}
    assert await listener.receive() == "hello"


@pytest.mark.parametrize("headers", SPOOFED, ids=lambda headers: headers[0][1])
@pytest.mark.parametrize("target", ["/a/b", "/admin/x", "/t/x", "/x"])
async def test_root_path_of_a_client_changes_nothing(
    target: str, headers: Headers, server: Server, connect: Connect, http: Talk
) -> None:
    speaker, allowed = http(server), not target.startswith("/admin/")
    answer = await speaker.request("POST", target, b"1", [("Content-Type", "text/plain"), *headers])
    asked = await speaker.request("GET", target, headers=headers)
    if allowed:
        assert (answer.status, answer.json()["channel"]) == (202, target)
        assert (asked.status, asked.json()["channel"]) == (200, target)
        listener = await connect(server, target, headers=headers)
        assert (await speaker.post(target, "hello")).json()["subscribers"] == 1
        assert await listener.receive() == "hello"
        await listener.leave()
        await speaker.wait_for_count(target, 0)
    else:
        assert answer.status in (302, 403, 404, 405), answer
        with pytest.raises(HandshakeRefused):
            await connect(server, target, headers=headers)


async def test_server_under_a_root_path_names_the_whole_path(start: Start, connect: Connect, http: Talk) -> None:
    server = start(servers.daphne, "--root-path", "/app")
    speaker = http(server)
    for target, name in {"/app/a": "/app/a", "/apple": "/apple", "/a": "/a", "/app//a;b": "/app//a;b"}.items():
        listener = await connect(server, target)
        assert (await speaker.post(target, "hello")).json() == {"channel": name, "messages": 1, "subscribers": 1}
        assert await listener.receive() == "hello"


async def test_list_of_channels_gives_their_names_as_they_are(server: Server, connect: Connect, http: Talk) -> None:
    names = ["/list/a", "/list/a\nb", "/list/张三", "/list//a", '/list/"']
    for name in names:
        await connect(server, quote(name))
    speaker, found, after = http(server), [], ""
    for _ in itertools.repeat(None, len(names) + 1):
        answer = await speaker.request("GET", f"/-/channels?prefix=/list/&limit=2&after={quote(after)}")
        page = json.loads(answer.body)
        found += page["channels"]
        after = page["next"]
        if after is None:
            break
    assert [(info["channel"], info["subscribers"]) for info in found] == [(name, 1) for name in sorted(names)]
