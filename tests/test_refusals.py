from __future__ import annotations

from eventcast import refusals
from tests.fakes import websocket
from tests.test_consumers import application, ended


def test_refusals_are_counted_by_code() -> None:
    before = refusals.counts().get("made_up", 0)
    refusals.count("made_up")
    assert refusals.counts()["made_up"] == before + 1


async def test_refused_socket_is_counted() -> None:
    before = refusals.counts().get("invalid_channel", 0)
    await ended(await websocket(application, "/%FF").connect())
    assert refusals.counts()["invalid_channel"] == before + 1


def test_counts_are_a_copy() -> None:
    refusals.counts()["made_up_elsewhere"] = 1
    assert "made_up_elsewhere" not in refusals.counts()
