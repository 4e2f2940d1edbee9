from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from django.test import AsyncClient

from eventcast.security import refusals
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


def test_first_refusals_of_a_code_are_worth_a_line() -> None:
    assert [refusals.count("flood") for _ in range(refusals.LINES + 2)] == [True] * refusals.LINES + [False] * 2
    assert refusals.count("another")


def test_refusals_not_in_the_log_are_summed_up_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(refusals, "LINES", 3)
    for _ in range(10):
        refusals.count("flood")
    assert caplog.messages == []
    monkeypatch.setattr(refusals, "INTERVAL", -1)  # is over
    assert refusals.count("flood")
    assert caplog.messages == ["Refused: flood, 7 more than are in the log, within -1 seconds."]
    refusals.count("flood")
    assert len(caplog.messages) == 1


async def test_flood_of_refusals_writes_no_more_lines_and_is_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(refusals, "LINES", 3)
    before = refusals.counts().get("invalid_channel", 0)
    for _ in range(5):
        await ended(await websocket(application, "/%FF").connect())
    assert len(caplog.records) == 3
    assert refusals.counts()["invalid_channel"] == before + 5


REFUSED: dict[str, Callable[[], Awaitable[object]]] = {
    "eventcast.publish": lambda: AsyncClient().post("/-/x", "x", content_type="text/plain"),
    "eventcast.subscribe": lambda: AsyncClient().get("/-/x", headers={"Accept": "text/event-stream"}),
    "eventcast.request": lambda: AsyncClient().get("/-/x", headers={"Accept": "application/json"}),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refusal_is_logged_under_the_logger_of_what_was_refused(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    await REFUSED[name]()
    assert [record.name for record in caplog.records] == [name]
    assert caplog.messages[0].startswith("Refused: 404 reserved_path, ")


async def test_flood_of_refused_requests_is_not_told_by_django_either(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(refusals, "LINES", 3)
    for _ in range(5):
        assert (await AsyncClient().delete("/a")).status_code == 405
    assert [record.name for record in caplog.records if record.levelname == "WARNING"] == ["eventcast.request"] * 3


def test_counts_are_a_copy() -> None:
    refusals.counts()["made_up_elsewhere"] = 1
    assert "made_up_elsewhere" not in refusals.counts()
