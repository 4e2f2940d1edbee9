"""Connections that change hands under load, with data on the way in both directions: nothing is lost and nothing comes
twice. Under plain Daphne a WebSocket is taken over; in ``eventcast serve`` it leaves the door, and what is not for a
channel is handed to Daphne."""

from __future__ import annotations

import asyncio
import os
import random
from collections import deque
from collections.abc import Callable

import pytest

from tests.live import servers
from tests.live.conftest import Start
from tests.live.frames import TEXT, encode_frame, read_frames
from tests.live.raw import HANDSHAKE
from tests.live.servers import Server
from tests.live.waiting import TIMEOUT
from tests.live.wires import publish

ROUNDS = int(os.environ.get("IN_FLIGHT_ROUNDS", "300"))
AT_ONCE = 10
SAID, POSTED = 6, 4
"""Messages that a client sends behind its handshake, and that are posted to its channel meanwhile."""

SPEAKING = {"EVENTCAST_WEBSOCKET_PUBLISH": "1"}


def pieces(data: list[bytes], chance: random.Random) -> list[bytes]:
    """The data in packets that end anywhere."""
    whole = b"".join(data)
    cuts = sorted(chance.sample(range(1, len(whole)), chance.choice([0, 1, 3])))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


async def post(server: Server, channel: str, names: list[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for name in names:
        writer.write(publish(channel, name.encode()))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 20"), head
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
    writer.close()


async def change_hands(server: Server, number: int) -> None:
    """One WebSocket, which speaks before its handshake is answered and hears what others post meanwhile."""
    chance, channel = random.Random(number), f"/flight/{number}"
    said = [f"said {each} " + "x" * chance.choice([0, 5, 200, 5000]) for each in range(SAID)]
    posted = [f"posted {each}" for each in range(POSTED)]
    handshake = f"GET {channel} HTTP/1.1\r\nHost: localhost\r\n".encode() + HANDSHAKE + b"\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    posting = asyncio.ensure_future(post(server, channel, posted))
    for piece in pieces([handshake, *(encode_frame(TEXT, each.encode()) for each in said)], chance):
        writer.write(piece)
        await asyncio.sleep(0)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    await posting
    await post(server, channel, ["end"])  # It is behind everything that was posted, but not behind what was said.
    heard: deque[str | bytes] = deque()
    buffer = b""
    while not ("end" in heard and sum(str(each).startswith("said") for each in heard) >= SAID):
        buffer += await reader.read(65536)
        buffer = buffer[read_frames(buffer, heard, lambda opcode, payload: None) :]
    writer.close()
    assert [each for each in heard if str(each).startswith("said")] == said
    # What was posted before the client was let in is not for it.
    rest = [each for each in heard if not str(each).startswith("said")]
    assert rest == [*posted, "end"][-len(rest) :]


async def hand_over(server: Server, number: int) -> None:
    """One page with a body of some size on its way in, and of some on its way out; a publish stands before it."""
    chance = random.Random(number)
    size = chance.choice([0, 10, 3000, 70_000, 300_000])
    form = b"username=u&password=" + b"p" * size
    page = (
        b"POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: %d\r\n\r\n" % len(form)
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for piece in pieces([publish(f"/flight/{number}"), page, form], chance):
        writer.write(piece)
        await asyncio.sleep(0)
    answers = await reader.read()
    writer.close()
    assert answers.startswith(b"HTTP/1.1 202 ")
    page_answer = answers[answers.index(b"HTTP/1.1 ", 9) :]
    head, _, body = page_answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 "), head  # Django has read the form, and misses its CSRF cookie.
    assert int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]) == len(body)
    assert answers.count(b"HTTP/1.1 ") == 2


async def many(go: Callable[[Server, int], object], server: Server) -> None:
    for first in range(0, ROUNDS, AT_ONCE):
        numbers = range(first, min(ROUNDS, first + AT_ONCE))
        await asyncio.wait_for(asyncio.gather(*(go(server, number) for number in numbers)), TIMEOUT)  # type: ignore[call-overload]


@pytest.mark.parametrize("under", [servers.daphne, servers.serve], ids=["daphne", "serve"])
async def test_websocket_that_changes_hands_loses_nothing(under: Callable[..., Server], start: Start) -> None:
    await many(change_hands, start(under, env=SPEAKING))


async def test_request_that_is_handed_over_loses_nothing(start: Start) -> None:
    await many(hand_over, start(servers.serve))
