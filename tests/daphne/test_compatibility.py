"""What is counted on in Daphne, Twisted and autobahn: a change of theirs fails here."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import pytest
from twisted.internet.abstract import FileDescriptor

from eventcast.server import daphne


def problems() -> str:
    """What is found out anew."""
    return " ".join(daphne.problems.__wrapped__())


def test_problems_finds_none_in_what_is_installed() -> None:
    assert problems() == ""


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("daphne.server.Server", "handle_reply"),
        ("daphne.server.Server", "protocol_disconnected"),
        ("daphne.server.Server", "kill_all_applications"),
        ("daphne.server.Server", "log_action"),
        ("daphne.ws_protocol.WebSocketProtocol", "STATE_OPEN"),
        ("daphne.ws_protocol.WebSocketProtocol", "STATE_CLOSED"),
        ("daphne.ws_protocol.WebSocketProtocol", "sendData"),
        ("daphne.ws_protocol.WebSocketProtocol", "dropConnection"),
        ("twisted.internet.tcp.Connection", "stopReading"),
        ("twisted.internet.tcp.Connection", "stopWriting"),
        ("twisted.internet.tcp.Connection", "TLS"),
        ("twisted.internet.abstract.FileDescriptor", "dataBuffer"),
        ("twisted.internet.abstract.FileDescriptor", "offset"),
    ],
)
def test_problems_tells_what_is_missing(monkeypatch: pytest.MonkeyPatch, owner: str, name: str) -> None:
    module, _, kind = owner.rpartition(".")
    found: Any = getattr(import_module(module), kind)
    monkeypatch.delattr(next(base for base in found.__mro__ if name in vars(base)), name)
    assert name in problems()


def test_problems_tells_of_a_buffer_with_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_buffer(self: Any, reactor: Any = None) -> None:
        self.reactor = reactor

    monkeypatch.setattr(FileDescriptor, "__init__", without_buffer)
    assert "_tempDataBuffer" in problems()


def test_problems_tells_what_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "daphne.ws_protocol", None)  # type: ignore[arg-type]
    monkeypatch.delattr(sys.modules["daphne"], "ws_protocol")
    assert "ws_protocol" in problems()
