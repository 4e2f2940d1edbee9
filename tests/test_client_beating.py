"""The beats of a service: when they are due, and what ends them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from eventcast.client import State, beat
from eventcast.client.beating import next_beat
from eventcast.exceptions import InvalidMessage
from tests.live.waiting import TIMEOUT
from tests.told import CUT, Told


@pytest.mark.parametrize(
    ("last", "elapsed", "following"),
    [
        (0, 0.0, 1),
        (0, 0.3, 1),
        (7, 35.1, 8),
        (7, 39.999, 8),
        (7, 34.9999, 8),  # a clock that came a moment early
        (7, 40.1, 9),
        (7, 76.0, 16),
    ],
)
def test_next_beat_keeps_to_the_schedule_and_skips_what_is_past(last: int, elapsed: float, following: int) -> None:
    assert next_beat(last, 5.0, elapsed) == following


@pytest.mark.parametrize("every", [0.0, -1.0, float("nan"), float("inf")])
def test_beat_refuses_what_is_no_number_of_seconds(every: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        beat("http://127.0.0.1/a", every=every)


def test_beat_refuses_what_is_no_message() -> None:
    with pytest.raises(InvalidMessage):
        beat("http://127.0.0.1/a", data=object())


def test_beat_logs_once_that_the_server_is_away_and_once_that_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    is_back = threading.Event()
    with Told() as server:
        server.statuses = [CUT, CUT, 503, CUT]
        with beat(f"{server.url}/a", every=0.001, on_state=lambda state: state.missed and is_back.set()):
            assert is_back.wait(TIMEOUT)
    away, back = (record for record in caplog.records if record.name == "eventcast.client")
    assert (away.levelname, back.levelname) == ("WARNING", "WARNING")
    assert away.getMessage().endswith("Trying again with each beat.")
    assert "the server is back after" in back.getMessage()


async def test_beat_tells_once_that_the_server_cannot_be_reached() -> None:
    states: list[State] = []
    tried = asyncio.Semaphore(0)

    def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tried.release()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with beat(f"http://127.0.0.1:{port}/a", every=0.001, on_state=states.append):
            for _ in range(5):
                await asyncio.wait_for(tried.acquire(), TIMEOUT)
    assert [state.name for state in states] == ["waiting"]
