from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from eventcast.server import daphne
from eventcast.websocket import transports
from tests.fakes import insides_with


@pytest.fixture(autouse=True)
def unannounced(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing has been said yet."""
    monkeypatch.setattr(transports, "_announced", set())
    with caplog.at_level(logging.INFO, "eventcast"):
        yield


async def send(event: dict[str, Any]) -> None: ...


async def test_transport_of_another_server_is_asgi(caplog: pytest.LogCaptureFixture) -> None:
    assert transports.for_websocket(send, None).name == "asgi"
    assert "the server is not Daphne" in caplog.text


@override_settings(EVENTCAST={"TRANSPORT": "asgi"})
async def test_transport_is_asgi_where_the_setting_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert transports.for_websocket(send, object()).name == "asgi"
    assert "EVENTCAST['TRANSPORT'] says so" in caplog.text


async def test_transport_is_asgi_where_the_insides_have_changed(caplog: pytest.LogCaptureFixture) -> None:
    with insides_with("WebSocketProtocol has no legs"):
        assert transports.for_websocket(send, object()).name == "asgi"
    assert "has no legs" in caplog.text


async def test_transport_is_announced_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        transports.for_websocket(send, None)
    assert len(caplog.records) == 1


def test_expected_transport_is_direct_where_all_is_well() -> None:
    assert transports.expected() == ("direct", daphne.versions())


@pytest.mark.parametrize("module", ["daphne.cli", "daphne.management.commands.runserver"])
def test_transport_is_announced_at_the_start_of_daphne(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, object())  # type: ignore[arg-type]
    transports.announce_at_start()
    assert "'direct'" in caplog.text


def test_transport_is_not_announced_at_the_start_of_another_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in ("daphne.cli", "daphne.management.commands.runserver"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    transports.announce_at_start()
    assert caplog.records == []
