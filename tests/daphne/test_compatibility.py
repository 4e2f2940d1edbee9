"""What is counted on in Daphne, Twisted and autobahn: a change of theirs fails here."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.abstract import FileDescriptor
from twisted.internet.tcp import Connection as TwistedConnection

from eventcast.server.daphne import compatibility


def test_problems_finds_none_in_what_is_installed() -> None:
    assert compatibility.problems.__wrapped__() == ()


@pytest.mark.parametrize("name", ["sendCloseFrame", "STATE_OPEN", "handle_reply"])
def test_problems_tells_what_the_protocol_lacks(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from daphne.ws_protocol import WebSocketProtocol

    owner = next(base for base in WebSocketProtocol.__mro__ if name in vars(base))
    monkeypatch.delattr(owner, name)
    assert name in " ".join(compatibility.problems.__wrapped__())


@pytest.mark.parametrize("name", ["startWriting", "stopWriting"])
def test_problems_tells_of_a_connection_with_a_method_of_its_own(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(TwistedConnection, name, lambda self: None)
    assert name in " ".join(compatibility.problems.__wrapped__())


def test_problems_tells_of_a_write_that_does_not_announce_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileDescriptor, "write", lambda self, data: self._tempDataBuffer.append(data))
    assert "startWriting" in " ".join(compatibility.problems.__wrapped__())


def test_problems_tells_of_a_buffer_with_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(FileDescriptor, "dataBuffer")
    assert "dataBuffer" in " ".join(compatibility.problems.__wrapped__())


def test_problems_tells_what_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "daphne.ws_protocol", None)
    assert "daphne.ws_protocol" in " ".join(compatibility.problems.__wrapped__())


def test_versions_names_all_three() -> None:
    assert [part.split()[0] for part in compatibility.versions().split(", ")] == ["daphne", "twisted", "autobahn"]


class Recorded(TwistedConnection):
    """One end of a socket pair, which notes its calls of what ``DirectTransport`` hides."""

    def __init__(self, end: socket.socket, protocol: Any) -> None:
        super().__init__(end, protocol, reactor)
        self.connected = 1
        self.calls: list[str] = []

    def startWriting(self) -> None:
        self.calls.append("start")

    def stopWriting(self) -> None:
        self.calls.append("stop")


class Receiver:
    def connectionLost(self, reason: Any) -> None: ...


@pytest.fixture
def pair() -> Iterator[tuple[Recorded, socket.socket]]:
    here, there = socket.socketpair()
    yield Recorded(here, Receiver()), there
    here.close()
    there.close()


def test_twisted_starts_writing_when_its_buffer_gets_something(pair: tuple[Recorded, socket.socket]) -> None:
    pair[0].write(b"x")
    assert pair[0].calls == ["start"]


def test_twisted_stops_writing_when_its_buffer_is_empty(pair: tuple[Recorded, socket.socket]) -> None:
    connection, peer = pair
    connection.write(b"x")
    connection.doWrite()
    assert (connection.calls, peer.recv(9)) == (["start", "stop"], b"x")


def test_twisted_goes_on_writing_while_its_buffer_holds_something(pair: tuple[Recorded, socket.socket]) -> None:
    connection, _ = pair
    connection.write(b"x" * 10_000_000)
    connection.doWrite()
    assert connection.calls == ["start"]
    assert 0 < len(connection.dataBuffer) - connection.offset + connection._tempDataLen < 10_000_000


def test_twisted_stops_writing_when_a_connection_is_aborted(pair: tuple[Recorded, socket.socket]) -> None:
    connection, _ = pair
    connection.write(b"x")
    connection.abortConnection()
    for call in reactor.getDelayedCalls():
        if call.func == connection.connectionLost:
            call.cancel()
    assert connection.calls == ["start", "stop"]
    assert connection._aborting


def test_twisted_stops_writing_when_a_connection_is_lost(pair: tuple[Recorded, socket.socket]) -> None:
    from twisted.internet.error import ConnectionLost
    from twisted.python.failure import Failure

    connection, _ = pair
    connection.connectionLost(Failure(ConnectionLost()))
    assert (connection.calls, connection.connected) == (["stop"], 0)


def test_twisted_stops_writing_before_it_closes_the_socket(pair: tuple[Recorded, socket.socket]) -> None:
    from twisted.internet.error import ConnectionDone
    from twisted.python.failure import Failure

    connection, _ = pair
    open_at_stop = []
    connection.stopWriting = lambda: open_at_stop.append(connection.socket.fileno() >= 0)  # type: ignore[method-assign]
    connection.connectionLost(Failure(ConnectionDone()))
    assert open_at_stop == [True]


def test_twisted_starts_writing_to_hang_up_in_order(pair: tuple[Recorded, socket.socket]) -> None:
    connection, _ = pair
    connection.loseConnection()
    assert (connection.calls, connection.disconnecting) == (["start"], 1)
