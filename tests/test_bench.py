"""What ``manage.py eventcast bench`` is made of: that it sees every fault, and counts nothing twice."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator

import pytest

from eventcast.bench import process, target
from eventcast.bench.audience import Audience
from eventcast.bench.contents import header, number_in, payload
from eventcast.bench.deliveries import Deliveries
from eventcast.bench.exceptions import BenchError
from eventcast.bench.latencies import Latencies
from eventcast.bench.options import Options
from eventcast.bench.pacing import Pacing
from eventcast.bench.publishers import Publisher
from eventcast.bench.shared import Shared
from eventcast.bench.tapes import Contents, Tape

SIZE = 20


class Listeners:
    """An audience of three on one channel, fed by hand; nobody has a socket."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        for number in range(len(shared.sent)):
            shared.sent[number] = 1.0
        self.closed: list[int] = []
        self.pongs: list[bytes] = []
        contents = Contents(SIZE, 1, self.shared)
        self.audience = Audience(contents, self.hang_up, lambda descriptor, data: self.pongs.append(data))
        self.tape = self.audience.tapes[0]
        for descriptor in (0, 1, 2):
            self.audience.make_room(descriptor)
            self.audience.join(descriptor, self.tape)

    def hang_up(self, descriptor: int) -> None:
        self.audience.leave(descriptor)
        self.closed.append(descriptor)

    def read(self, descriptor: int, data: bytes) -> list[int]:
        """What the subscriber gets is this; returns the messages in it."""
        self.audience.take(descriptor, data)
        seen = list(self.audience.seen)
        self.audience.seen.clear()
        return seen

    @property
    def faults(self) -> tuple[int, int, int]:
        return self.audience.broken, self.audience.out_of_order, self.audience.disconnected


@pytest.fixture
def shared() -> Iterator[Shared]:
    made = Shared.create(50, 1)
    yield made
    os.close(made.descriptor)


@pytest.fixture
def listeners(shared: Shared) -> Listeners:
    return Listeners(shared)


def frame(number: int, size: int = SIZE) -> bytes:
    return header(size) + payload(number, size)


def frames(*numbers: int) -> bytes:
    return b"".join(map(frame, numbers))


@pytest.mark.parametrize("size", [8, 9, 125, 126, 65535, 65536])
def test_payload_has_its_size_and_tells_its_number(size: int) -> None:
    assert len(payload(0xABC, size)) == size
    assert number_in(payload(0xABC, size)) == 0xABC
    assert payload(1, size) != payload(2, size)


@pytest.mark.parametrize(("size", "length"), [(125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_header_is_the_shortest_there_is(size: int, length: int) -> None:
    assert len(header(size)) == length


def test_audience_takes_the_same_stream_from_all_in_any_pieces(listeners: Listeners) -> None:
    stream = frames(*range(10))
    assert listeners.read(0, stream) == list(range(10))
    assert [number for byte in stream for number in listeners.read(1, bytes((byte,)))] == list(range(10))
    assert listeners.read(2, stream[:33]) + listeners.read(2, stream[33:]) == list(range(10))
    assert listeners.faults == (0, 0, 0)


def test_audience_takes_any_order_of_several_publishers(listeners: Listeners) -> None:
    for number in range(1, 50, 2):
        listeners.shared.publisher[number] = 1
    for descriptor in (0, 1):
        assert listeners.read(descriptor, frames(1, 0, 3, 2)) == [1, 0, 3, 2]
    # This one hears the two publishers in another order than the others, but each of them in the right one.
    assert listeners.read(2, frames(0, 1, 2, 3)) == [0, 1, 2, 3]
    assert listeners.faults == (0, 0, 0)


def test_audience_sees_a_message_that_is_missing(listeners: Listeners) -> None:
    assert listeners.read(0, frames(0, 1, 2, 3)) == [0, 1, 2, 3]
    assert listeners.read(1, frames(0, 2, 3)) == [0, 2, 3]
    assert listeners.faults == (0, 0, 0)  # A loss is what is missing in the end.


def test_audience_sees_a_message_that_only_the_others_miss(listeners: Listeners) -> None:
    assert listeners.read(0, frames(0, 2)) == [0, 2]
    assert listeners.read(1, frames(0, 1, 2)) == [0, 1, 2]


def test_audience_sees_a_message_that_comes_twice(listeners: Listeners) -> None:
    assert listeners.read(0, frames(0, 1, 1, 2)) == [0, 1, 2]
    assert listeners.read(1, frames(0, 1, 2)) == [0, 1, 2]
    assert listeners.faults == (0, 1, 0)


def test_audience_sees_messages_in_the_wrong_order(listeners: Listeners) -> None:
    listeners.read(0, frames(0, 1, 2))
    assert listeners.read(1, frames(0, 2, 1)) == [0, 2, 1]
    assert listeners.faults == (0, 1, 0)


@pytest.mark.parametrize("place", range(2, 2 + SIZE))
def test_audience_sees_every_wrong_byte(listeners: Listeners, place: int) -> None:
    bad = bytearray(frame(1))
    bad[place] ^= 1
    assert listeners.read(0, frame(0) + bad + frame(2)) == [0, 2]
    assert listeners.faults == (1, 0, 0)


@pytest.mark.parametrize("place", range(2, 2 + SIZE))
def test_audience_sees_every_wrong_byte_of_what_others_had_right(listeners: Listeners, place: int) -> None:
    listeners.read(0, frames(0, 1, 2))
    bad = bytearray(frame(1))
    bad[place] ^= 1
    assert listeners.read(1, frame(0) + bad + frame(2)) == [0, 2]
    assert listeners.faults == (1, 0, 0)


@pytest.mark.parametrize(
    "bad",
    [
        frame(1, SIZE - 8),  # too short
        frame(1, SIZE + 8),  # too long
        b"\x82" + frame(1)[1:],  # binary
        frame(49)[:-1] + b"x",  # of another message at the end
        frame(50),  # a message there is not
        b"\x81\x00",
    ],
)
def test_audience_sees_a_frame_that_is_no_message(listeners: Listeners, bad: bytes) -> None:
    assert listeners.read(0, frame(0) + bad + frame(2)) == [0, 2]
    assert listeners.faults == (1, 0, 0)


def test_audience_sees_a_message_that_was_not_sent(listeners: Listeners) -> None:
    listeners.shared.sent[1] = 0.0
    assert listeners.read(0, frames(0, 1, 2)) == [0, 2]
    assert listeners.faults == (1, 0, 0)


def test_audience_sees_a_message_of_another_channel(shared: Shared) -> None:
    for number in range(4):
        shared.sent[number] = 1.0
    audience = Audience(Contents(SIZE, 2, shared), lambda descriptor: None, lambda descriptor, data: None)
    for descriptor in (0, 1):
        audience.make_room(descriptor)
    audience.join(0, audience.tapes[0])
    audience.join(1, audience.idle)
    audience.take(0, frames(0, 1, 2))
    assert audience.seen == [0, 2]
    audience.take(1, frames(0))
    assert audience.seen == [0, 2]
    assert audience.broken == 2


@pytest.mark.parametrize("garbage", [b"\x01\x05hello", b"\xf1\x05hello", b"\x81\x85hello", b"\x81\x7f" + b"\xff" * 8])
def test_audience_gives_up_one_that_gets_no_frames(listeners: Listeners, garbage: bytes) -> None:
    assert listeners.read(0, frame(0) + garbage) == [0]
    assert listeners.closed == [0]
    assert listeners.faults == (1, 0, 1)


@pytest.mark.parametrize("strayed", [False, True])
def test_audience_answers_pings_between_messages(listeners: Listeners, strayed: bool) -> None:
    listeners.read(0, frames(0, 1, 2))
    begin = frames(1) if strayed else frames(0, 1)
    stream = begin + b"\x89\x02hi" + frame(2) + b"\x89\x00"
    for byte in stream:
        listeners.read(1, bytes((byte,)))
    assert listeners.pongs == [b"hi", b""]
    assert listeners.faults == (0, 0, 0)


@pytest.mark.parametrize("end", [b"", b"\x88\x02\x03\xf5"])
def test_audience_sees_a_subscriber_disconnected(listeners: Listeners, end: bytes) -> None:
    listeners.read(0, frame(0))
    listeners.read(0, end)
    assert listeners.closed == [0]
    assert listeners.faults == (0, 0, 1)
    assert listeners.tape.alive == 2
    assert listeners.read(0, frame(1)) == []


def test_audience_starts_who_comes_late_at_the_end(listeners: Listeners) -> None:
    listeners.read(0, frames(0, 1))
    listeners.audience.make_room(3)
    listeners.audience.join(3, listeners.tape)
    assert listeners.read(3, frame(2)) == [2]


def test_shorten_keeps_what_somebody_needs(listeners: Listeners) -> None:
    listeners.tape.keep = 2 * len(frame(0))
    listeners.read(0, frames(0, 1, 2, 3))
    listeners.read(1, frames(0, 1, 2))
    listeners.read(2, frames(0, 1) + frame(2)[:5])
    listeners.audience.shorten([0])
    assert listeners.tape.base == 2 * len(frame(0)) + 5
    assert listeners.read(2, frame(2)[5:] + frame(3)) == [2, 3]
    assert listeners.read(1, frames(3, 4)) == [3, 4]


def deliveries_of(shared: Shared, alive: int = 3) -> tuple[Deliveries, Tape]:
    tape = Tape(0, Contents(SIZE, 1, shared))
    tape.alive = alive
    return Deliveries([tape], shared), tape


def test_deliveries_tell_once_that_everybody_has_a_message(listeners: Listeners) -> None:
    deliveries, _ = deliveries_of(listeners.shared)
    assert deliveries.add([0, 1, 0], 2.0) == []
    assert deliveries.due == 3
    assert sorted(deliveries.add([1, 0, 1], 3.0)) == [0, 1]
    assert deliveries.add([0], 4.0) == []
    assert (deliveries.count, deliveries.due, deliveries.last) == (7, 0, 4.0)


def test_deliveries_do_not_wait_for_who_has_gone(listeners: Listeners) -> None:
    deliveries, tape = deliveries_of(listeners.shared)
    deliveries.add([0, 0, 1, 1], 2.0)
    tape.alive -= 1
    assert deliveries.forget(tape, {0}) == [1]
    assert deliveries.add([0], 3.0) == [0]


def test_deliveries_count_what_was_noticed_once(listeners: Listeners) -> None:
    deliveries, _ = deliveries_of(listeners.shared)
    assert deliveries.notice(0, 3, 2.0)
    deliveries.noticed = 1
    assert deliveries.add([0, 0, 0], 9.0) == []
    assert deliveries.count == 3
    assert sum(deliveries.latencies.buckets.values()) == 3
    assert deliveries.latencies.longest == 1_000_000


def test_pacing_leaves_short_rounds_unread_for_less_than_tcp_does(shared: Shared) -> None:
    pacing = Pacing(Tape(0, Contents(100, 1, shared)), 102, shared)
    unread, now = [], 1.0
    for number in range(21):
        shared.sent[number] = now
        assert pacing.look(now)
        assert not pacing.look(now)
        unread.append(pacing.leaves_unread)
        now += 0.006
    # The length of the first round is not known beforehand. Three rounds are 18 ms, four would be too many.
    assert unread[0] is False
    assert unread[1:] == [True, True, True, False] * 5


def test_pacing_reads_every_long_round(shared: Shared) -> None:
    pacing = Pacing(Tape(0, Contents(100, 1, shared)), 102, shared)
    for number in range(10):
        shared.sent[number] = 1.0
        assert pacing.look(1.0 + number * 0.05)
        assert not pacing.leaves_unread


@pytest.mark.parametrize(("channels", "in_flight", "length"), [(2, 1, 100), (1, 2, 100), (1, 1, 4100)])
def test_pacing_needs_one_short_message_in_flight(channels: int, in_flight: int, length: int) -> None:
    assert not Pacing.is_possible(channels, in_flight, length)
    assert Pacing.is_possible(1, 1, 100)


def test_latencies_are_right_to_half_a_percent() -> None:
    first, second = Latencies(), Latencies()
    first.add(0.000100, 50)
    second.add(0.0300001, 49)
    second.add(1.2345678, 1)
    first.merge(second)
    assert first.percentile(50) == pytest.approx(0.1, rel=0.005)
    assert first.percentile(99) == pytest.approx(30, rel=0.005)
    assert first.longest == 1_234_567
    assert Latencies().percentile(99) == 0


@pytest.mark.parametrize(
    ("answer", "status", "ends"),
    [
        (b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{", None, False),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}", 201, False),
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", 403, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", None, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, False),
        (b"HTTP/1.1 2", None, False),
        (b"nonsense\r\n\r\n", 0, False),
    ],
)
def test_publisher_reads_the_status_of_a_whole_answer(answer: bytes, status: int | None, ends: bool) -> None:
    with socket.socket() as sock:
        publisher = Publisher(0, sock)
        publisher.answer = answer
        assert publisher.status() == status
        assert publisher.ends == ends


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://127.0.0.1:1", "TLS"),
        ("ftp://127.0.0.1:1", "not the URL"),
        ("http://", "not the URL"),
        ("http://127.0.0.1:99999", "not the URL"),
        ("http://127.0.0.1:8000/a?b", "not the URL"),
    ],
)
def test_target_refuses_a_url_that_is_no_servers(url: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        target.find(url, None, "/bench")


@pytest.mark.parametrize(
    ("suffix", "path", "expected"),
    [
        ("", None, "/bench"),
        ("/", None, "/bench"),
        ("/live/a", None, "/live/a"),
        ("/live/a", "/b", "/b"),
        ("", "/a b/张", "/a%20b/%E5%BC%A0"),
        ("", "/a%2Fb", "/a%2Fb"),
    ],
)
def test_target_has_the_path_as_it_goes_into_a_request(suffix: str, path: str | None, expected: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = target.find(f"ws://127.0.0.1:{port}{suffix}", path, "/bench")
    assert found.path == expected
    assert (found.url, found.host, found.port) == (f"http://127.0.0.1:{port}", f"127.0.0.1:{port}", port)
    assert found.is_here


def test_target_wants_a_path_with_a_slash() -> None:
    with pytest.raises(BenchError, match="'/a'"):
        target.find("http://127.0.0.1:1", "a", "/bench")


@pytest.mark.parametrize(
    "wrong",
    [
        {"subscribers": 0},
        {"publishers": 70_000},
        {"size": 7},
        {"channels": 3, "subscribers": 2},
        {"in_flight": 0},
        {"idle_channels": -1},
        {"idle_patterns": -1},
        {"timeout": -1},
    ],
)
def test_options_refuse_what_no_benchmark_can_be_made_of(wrong: dict[str, int]) -> None:
    with pytest.raises(BenchError, match="--" if "channels" not in wrong else "channels"):
        Options(**wrong).check()
    Options().check()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_process_finds_who_listens_and_what_it_uses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert process.listeners(listener.getsockname()[1]) == {os.getpid()}
        port = listener.getsockname()[1]
    assert process.listeners(port) == set()
    server = process.Server([os.getpid()])
    assert os.getpid() in server.family()
    assert server.cpu() > 0
    assert server.memory() > 1_000_000
