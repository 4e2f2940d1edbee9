"""Bytes that were changed at random harm the door in nothing: each connection is answered or closed, no exception comes
up, and nothing of it is left."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import override_settings

from eventcast.authorization import Authorization
from eventcast.server.door import Door
from tests.doors import Daphne, converse, open_door, vanish
from tests.live.frames import BINARY, CLOSE, PING, PONG, TEXT, encode_frame
from tests.live.raw import HANDSHAKE
from tests.live.waiting import until
from tests.live.wires import publish, request

INPUTS = int(os.environ.get("DOOR_FUZZ_INPUTS", "200000"))
SEED = int(os.environ.get("DOOR_FUZZ_SEED", "1"))

AT_ONCE = 50
"""Connections that are open side by side."""

OPEN = b"GET /a HTTP/1.1\r\nHost: localhost\r\n" + HANDSHAKE + b"\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"

VALID = [
    publish("/a", b"hello"),
    publish("/a", b"hello") * 3 + request("GET", "/a"),
    publish("http://localhost/a", b"hello", "Expect: 100-continue"),
    publish("/a", b"hello", "Connection: keep-alive", version="1.0"),
    request("POST", "/a", b"data=1&data=2", "Content-Type: application/x-www-form-urlencoded"),
    request("PUT", "/a/%F0%9F%98%80", b'{"data": ["a", "b"]}', "Content-Type: application/json"),
    CHUNKED + b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n" + publish("/b"),
    request("GET", "/a", b"", "Accept: text/event-stream", "Last-Event-ID: 1"),
    request("GET", "/a", b"", "Accept: application/x-ndjson", version="1.0"),
    request("GET", "/-/subscribe?channel=/a/*", b"", "Accept: text/event-stream"),
    request("HEAD", "/a", b"body"),
    request("OPTIONS", "/a", b"", "Origin: http://localhost", "Access-Control-Request-Method: POST"),
    request("GET", "/admin/?a=b", b"", "Cookie: a=b"),
    OPEN,
    OPEN.replace(b"/a ", b"/-/subscribe?channel=/a/* "),
    *(OPEN + encode_frame(kind, b"hello") for kind in (TEXT, BINARY, PING, PONG)),
    OPEN + encode_frame(TEXT, b"x" * 200) + encode_frame(CLOSE, b"\x03\xe8bye"),
    OPEN + b"\x01\x85\0\0\0\0hello" + encode_frame(PING, b"") + b"\x80\x85\0\0\0\0world",
]

PARTS = [
    b"\r\n",
    b"\r\n\r\n",
    b"\r",
    b"\n",
    b"\0",
    b" ",
    b":",
    b";",
    b",",
    b"\xff",
    b"0\r\n\r\n",
    b"Content-Length: 5\r\n",
]
PARTS += [
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Host: a\r\n",
    b"HTTP/1.0",
    b"HEAD ",
    b"%00",
    b"%",
]
PARTS += [b"\x88\x80\0\0\0\0", b"\x89\x80\0\0\0\0", b"\x81\xff", b"\xff" * 8, b"9" * 20, b"x" * 5000]


def mutated(chance: random.Random) -> list[bytes]:
    """Pieces of a request, or of several, of which something was changed."""
    data = bytearray(chance.choice(VALID))
    if chance.random() < 0.2:
        data += chance.choice(VALID)
    for _ in range(chance.randint(1, 4)):
        place, kind = chance.randrange(len(data) + 1), chance.randrange(6)
        if kind == 0 and place < len(data):
            data[place] = chance.randrange(256)
        elif kind == 1:
            data[place : place + chance.randint(1, 8)] = b""
        elif kind == 2:
            data[place:place] = chance.choice(PARTS)
        elif kind == 3:
            data[place:place] = data[place : place + chance.randint(1, 60)]
        elif kind == 4:
            del data[place:]
        elif numbers := list(re.finditer(rb"\d+", bytes(data))):
            found = chance.choice(numbers)
            data[found.start() : found.end()] = b"%d" % chance.choice([0, 1, 4, 6, 13, 99, 2**31, 2**63, 2**64])
    cut = chance.randrange(len(data) + 1)
    return [piece for piece in (bytes(data[:cut]), bytes(data[cut:])) if piece]


class Waiting(Authorization):
    """Lets every client in, after a turn of the event loop: the door serves in tasks then."""

    uses_cookies = False

    async def can_publish(self, request: HttpRequest, channel: str) -> bool:
        await asyncio.sleep(0)
        return True

    async def can_subscribe(self, request: HttpRequest, channel: str) -> bool:
        await asyncio.sleep(0)
        return True

    async def can_subscribe_pattern(self, request: HttpRequest, pattern: Any) -> bool:
        await asyncio.sleep(0)
        return True


SETTINGS: dict[str, dict[str, Any]] = {
    "at once": {},
    "speaking": {"WEBSOCKET_PUBLISH": True},
    "in tasks": {"AUTHORIZATION": f"{__name__}.Waiting", "WEBSOCKET_PUBLISH": True},
}


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What is logged as an error."""
    found: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(self.format(record))

    handler = Keep(logging.ERROR)
    logging.getLogger().addHandler(handler)
    with caplog.at_level(logging.ERROR):
        yield found
    logging.getLogger().removeHandler(handler)


def check_answers(said: bytes, sent: list[bytes]) -> None:
    """What the door says begins as an answer of HTTP/1.1 does, and none of them is an error of the server."""
    assert not said or said.startswith(b"HTTP/1.1 "), (sent, said)
    assert not re.search(rb"HTTP/1\.1 50[02346-9]", said), (sent, said)


async def check_nothing_is_left(door: Door) -> None:
    hub = door.hub
    await until(lambda: not (door.connections or hub.channels or hub.keepalive.peers), "nothing is left")
    await until(lambda: len(asyncio.all_tasks()) == 1, "no task is left")
    assert hub.subscribers() == []
    assert hub.memory.total == 0


@pytest.mark.parametrize("settings", SETTINGS)
async def test_changed_bytes_do_no_harm(settings: str, errors: list[str]) -> None:
    chance = random.Random(f"{settings} {SEED}")
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(repr(context)))
    with override_settings(EVENTCAST=SETTINGS[settings]), open_door(Daphne()) as door:
        left = INPUTS // len(SETTINGS)
        while left > 0:
            inputs = [mutated(chance) for _ in range(AT_ONCE)]
            answers = await asyncio.gather(*(converse(door, *each) for each in inputs))
            for said, sent in zip(answers, inputs, strict=True):
                check_answers(said, sent)
            assert not errors, inputs
            left -= AT_ONCE
        await check_nothing_is_left(door)


@pytest.mark.parametrize("settings", SETTINGS)
async def test_clients_that_vanish_leave_nothing(settings: str, errors: list[str]) -> None:
    chance = random.Random(f"{settings} {SEED}")
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(repr(context)))
    with override_settings(EVENTCAST=SETTINGS[settings]), open_door(Daphne()) as door:
        for _ in range(INPUTS // len(SETTINGS) // AT_ONCE // 40):
            inputs = [mutated(chance) if chance.random() < 0.5 else [chance.choice(VALID)] for _ in range(AT_ONCE)]
            await asyncio.gather(*(vanish(door, *each) for each in inputs))
            assert not errors, inputs
        await check_nothing_is_left(door)
        assert not errors
