"""A client of eventcast.v1 that is too slow stays connected, and knows of every message that it did not get."""

from __future__ import annotations

import json

import pytest

from tests.live import servers
from tests.live.conftest import Connect, Start, Talk
from tests.live.waiting import until

MESSAGES = 1000


@pytest.mark.parametrize(("kind", "transport"), [("serve", "auto"), ("daphne", "asgi"), ("uvicorn", "auto")])
async def test_slow_client_hears_the_newest_and_how_many_it_has_lost(
    start: Start, connect: Connect, http: Talk, channel: str, kind: str, transport: str
) -> None:
    env = {"EVENTCAST_TRANSPORT": transport, "EVENTCAST_SUBSCRIBER_BUFFER": "100000"}
    server = start(getattr(servers, kind), env=env)
    headers = [("Sec-WebSocket-Protocol", "eventcast.v1")]
    sleeper = await connect(server, channel, headers=headers, receive_buffer=8192)
    reader = await connect(server, channel)
    sleeper.stop_reading()
    speaker = http(server)
    for number in range(MESSAGES):
        answer = await speaker.post(channel, f"{number:04}" + "x" * 20_000)
        assert answer.json()["subscribers"] == 2
    assert [message[:4] for message in await reader.receive_many(MESSAGES)] == [f"{n:04}" for n in range(MESSAGES)]
    lost = (await speaker.request("GET", channel)).json()["lost"]
    sleeper.read_on()
    await until(lambda: sleeper.messages and f'"{MESSAGES - 1:04}' in str(sleeper.messages[-1]), timeout=30)
    hello, *frames = [json.loads(message) for message in sleeper.messages]
    assert hello["type"] == "hello"
    expected = told = 0
    for frame in frames:
        if frame.get("type") == "lost":
            told += frame["messages"]
            expected += frame["messages"]
        elif "type" not in frame:  # not a heartbeat
            assert int(frame["data"][:4]) == expected
            expected += 1
    assert (expected, told) == (MESSAGES, lost)
    assert 0 < lost < MESSAGES
    assert "Dropping the oldest messages for a slow subscriber" in server.log
