"""The benchmarks: what they check of the bytes that come."""

from __future__ import annotations

import mmap
import os

import pytest

from tests.benchmarks.processes import Processes
from tests.benchmarks.protocols import EventStream, WebSocket
from tests.benchmarks.tapes import Tape, payload

WEBSOCKET = WebSocket()


def frame(number: int) -> bytes:
    return WEBSOCKET.frame(payload(number, 20))


def faults(*numbers: int) -> list[str]:
    """What is wrong with a tape of these messages, where two publishers have published 1, 3 and 2, 4."""
    return Tape(b"".join(map(frame, numbers))).faults({1: 0, 2: 1, 3: 0, 4: 1}, frame)


@pytest.mark.parametrize("numbers", [(1, 2, 3, 4), (2, 4, 1, 3)])
def test_tape_has_no_fault_with_each_publishers_messages_in_order(numbers: tuple[int, ...]) -> None:
    assert faults(*numbers) == []


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ((1, 2, 3), "message 4 did not come"),
        ((1, 2, 3, 4, 4), "came twice or was not published"),
        ((1, 2, 3, 4, 5), "came twice or was not published"),
        ((3, 2, 1, 4), "message 1 came after message 3 of the same publisher"),
    ],
)
def test_tape_has_a_fault(numbers: tuple[int, ...], fault: str) -> None:
    (found,) = faults(*numbers)
    assert found.startswith(fault)


@pytest.mark.parametrize("place", range(22))
def test_tape_learns_no_other_byte_where_it_is_known(place: int) -> None:
    tape, other = Tape(), bytearray(frame(1))
    assert tape.learn(frame(1)[:9], 0)
    assert tape.learn(frame(1), 0)
    other[place] ^= 1
    assert not tape.learn(bytes(other), 0)
    assert bytes(tape) == frame(1)


def test_websocket_answers_a_ping_when_all_of_it_has_come() -> None:
    assert WEBSOCKET.control(b"\x89\x02h") == (0, b"")
    assert WEBSOCKET.control(b"\x89\x02hi" + frame(1)) == (4, b"\x8a\x82\0\0\0\0hi")
    assert WEBSOCKET.control(frame(1)) is None


def test_event_stream_knows_comments_from_events() -> None:
    stream = EventStream()
    assert stream.is_open(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\nretry: 3000\n\r\n")
    assert stream.control(b"2\r\n") == (0, b"")
    assert stream.control(b"2\r\n:\n\r\n" + stream.frame(b"x")) == (7, b"")
    assert stream.control(stream.frame(b"x" * 20)) is None


@pytest.mark.parametrize("subscription", [WEBSOCKET, EventStream()], ids=lambda subscription: subscription.name)
def test_subscription_that_is_refused_is_an_error(subscription: WebSocket | EventStream) -> None:
    with pytest.raises(ConnectionError, match="403"):
        subscription.is_open(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nforbidden")


def test_processes_have_cpu_time_and_memory() -> None:
    processes = Processes([os.getpid()])
    before = processes.cpu(), processes.memory()
    # Pages of its own: the allocator may have some to reuse.
    memory = mmap.mmap(-1, 50_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.write(b"x" * len(memory))
    assert processes.cpu() > before[0]
    assert processes.memory() - before[1] > 0.9 * len(memory)
    memory.close()
    with pytest.raises(ProcessLookupError):
        Processes([1 << 30])
