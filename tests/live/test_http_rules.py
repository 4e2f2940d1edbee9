"""What ``eventcast serve`` makes of requests as RFC 9110 and RFC 9112 allow them: how they follow each other on one
connection, how their bodies come, and which answers end the connection."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.live import servers
from tests.live.conftest import Fleet, Start, check_log
from tests.live.servers import Server
from tests.live.wires import Answer, Wire, publish, request

CHUNKED = b"POST /%b HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    fleet = Fleet(tmp_path_factory.mktemp("rules"))
    yield fleet.start(servers.serve)
    fleet.stop()


@pytest.fixture
def server(serving: Server) -> Iterator[Server]:
    yield serving
    check_log(serving)


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    with Wire(server.port) as wire:
        yield wire


@pytest.fixture
def events(server: Server, channel: str) -> Iterator[Wire]:
    """A stream of the test's channel, one JSON object a line."""
    with Wire(server.port, request("GET", channel, b"", "Accept: application/x-ndjson", version="1.0")) as stream:
        stream.read_until(b"\r\n\r\n")
        stream.read_until(b"\n")  # The greeting: from here on it is subscribed.
        yield stream


def heard(events: Wire) -> str:
    """The text of the next message; lines without one keep the stream alive."""
    while not (line := events.read_until(b"\n")).strip():
        pass
    return str(json.loads(line)["data"])


# --- one request after the other --------------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(wire: Wire, channel: str, events: Wire) -> None:
    posts = b"".join(publish(f"{channel}/{name}", name.encode()) for name in "abc")
    wire.send(posts + request("GET", f"{channel}/d"))
    answers = [wire.answer() for _ in range(4)]
    assert [json.loads(each.body)["channel"][-1] for each in answers] == ["a", "b", "c", "d"]
    assert not any(each.closes for each in answers)


def test_pipelined_publishes_are_heard_in_order(wire: Wire, channel: str, events: Wire) -> None:
    wire.send(b"".join(publish(channel, b"%d" % number) for number in range(300)))
    assert [wire.answer().status for _ in range(300)] == [201] * 300
    assert [heard(events) for _ in range(300)] == [str(number) for number in range(300)]


def test_pipelined_requests_are_answered_before_the_one_that_daphne_serves(wire: Wire, channel: str) -> None:
    wire.send(publish(channel) + request("GET", "/admin/login/") + publish(channel))
    assert wire.answer().status == 202
    page = wire.answer("GET")
    assert page.status == 200
    assert b"<html" in page.body
    assert page.closes
    assert wire.rest() == b""


def test_connection_serves_hundreds_of_requests(wire: Wire, channel: str) -> None:
    answers = [wire.ask(publish(channel)) for _ in range(500)]
    assert {each.status for each in answers} == {202}
    assert not any(each.closes for each in answers)


def test_same_head_again_has_its_own_body_and_another_head_counts(wire: Wire, channel: str, events: Wire) -> None:
    for body in (b"one", b"two", b"three"):  # The first two have the same head.
        wire.send(publish(channel, body))
        assert wire.answer().status == 201
        assert heard(events) == body.decode()
    wire.send(publish(channel, b"four1"))
    wire.send(publish(channel, b"five5", "Content-Encoding: gzip"))
    assert [wire.answer().status for _ in range(2)] == [201, 415]
    wire.send(request("GET", channel))
    assert wire.answer("GET").status == 200


def test_same_head_may_be_cut_anywhere(wire: Wire, channel: str, events: Wire) -> None:
    data = publish(channel, b"x", "Expect: 100-continue")
    wire.send(data)
    assert wire.answer().status == 201
    for cut in range(1, data.index(b"\r\n\r\n"), 7):
        wire.send(data[:cut])
        wire.send(data[cut:])
        assert wire.answer().status == 201


def test_request_may_come_byte_by_byte(wire: Wire, channel: str, events: Wire) -> None:
    for byte in publish(channel, b"slowly"):
        wire.send(bytes([byte]))
    assert wire.answer().status == 201
    assert heard(events) == "slowly"


def test_request_may_come_in_any_two_packets(wire: Wire, channel: str, events: Wire) -> None:
    whole = publish(channel, b"two")
    wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for place in range(1, len(whole)):
        wire.send(whole[:place])
        wire.send(whole[place:])
        assert wire.answer().status == 201, place
        assert heard(events) == "two"


def test_empty_lines_before_a_request_are_skipped(wire: Wire, channel: str) -> None:
    assert wire.ask(b"\r\n\r\n\r\n" + publish(channel)).status == 202
    assert wire.ask(b"\r\n" + publish(channel)).status == 202


def test_client_that_asks_for_the_end_gets_it_after_the_answer(wire: Wire, channel: str) -> None:
    wire.send(publish(channel, b"x", "Connection: close"))
    assert wire.answer().closes
    assert wire.rest() == b""


def test_http_1_0_ends_after_one_answer(wire: Wire, channel: str) -> None:
    assert wire.ask(publish(channel, version="1.0")).closes
    assert wire.rest() == b""


def test_http_1_0_stays_if_the_client_asks_for_it(wire: Wire, channel: str) -> None:
    for _ in range(3):
        answer = wire.ask(publish(channel, b"x", "Connection: keep-alive", version="1.0"))
        assert answer.headers["connection"].lower() == "keep-alive"


def test_half_closed_client_gets_its_answers(wire: Wire, channel: str) -> None:
    wire.send(publish(channel) * 3)
    wire.socket.shutdown(socket.SHUT_WR)
    assert [wire.answer().status for _ in range(3)] == [202] * 3
    assert wire.rest() == b""


LOGIN = request("GET", "/admin/login/")
FORM_TYPE = "Content-Type: application/x-www-form-urlencoded"
FORM = request("POST", "/admin/login/", b"password=" + b"p" * 300_000, FORM_TYPE)


@pytest.mark.parametrize(
    ("page", "status"),
    [(LOGIN, 200), (FORM, 403), (publish("/before") + LOGIN, 200)],
    ids=["page", "form", "page behind a publish"],
)
def test_half_closed_client_gets_a_page_of_django(wire: Wire, page: bytes, status: int) -> None:
    wire.send(page)
    wire.socket.shutdown(socket.SHUT_WR)
    if page.startswith(b"POST /before"):
        assert wire.answer().status == 202
    answer = wire.answer()
    assert (answer.status, answer.closes) == (status, True)
    assert answer.body.rstrip().endswith(b"</html>")
    assert wire.rest() == b""


def test_connection_stays_longer_than_a_proxy_keeps_it(start: Start, channel: str) -> None:
    server = start(servers.serve, env={"EVENTCAST_HANDSHAKE_TIMEOUT": "1", "EVENTCAST_BODY_TIMEOUT": "1"})
    with Wire(server.port, publish(channel)) as idle, Wire(server.port) as silent:
        assert idle.answer().status == 202
        assert silent.rest() == b""  # Two such times have passed for the connection that is between two requests.
        assert idle.ask(publish(channel)).status == 202


# --- bodies -----------------------------------------------------------------------------------------------------------


def test_body_is_asked_for_with_100_continue(wire: Wire, channel: str) -> None:
    head, _, body = publish(channel, b"later", "Expect: 100-continue").partition(b"\r\n\r\n")
    wire.send(head + b"\r\n\r\n")
    assert wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert wire.ask(body).status == 202


def test_body_that_is_there_is_not_asked_for(wire: Wire, channel: str) -> None:
    assert wire.ask(publish(channel, b"here", "Expect: 100-continue")).status == 202


def test_refused_body_is_not_asked_for(wire: Wire, channel: str) -> None:
    wire.send(
        b"POST %b HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
        % channel.encode()
    )
    answer = wire.answer()
    assert (answer.status, answer.error, answer.closes) == (413, "message_too_large", True)


def test_http_1_0_is_not_told_to_continue(wire: Wire, channel: str) -> None:
    head, _, body = publish(channel, b"later", "Expect: 100-continue", version="1.0").partition(b"\r\n\r\n")
    wire.send(head + b"\r\n\r\n")
    assert wire.ask(body).status == 202


def test_chunks_with_extensions_and_trailers_are_one_body(wire: Wire, channel: str, events: Wire) -> None:
    head = CHUNKED % channel[1:].encode()
    wire.send(head + b'5;a=b;c="d e"\r\nhello\r\n1 ;x\r\n,\r\n6\r\n world\r\n0;last\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n')
    assert wire.answer().status == 201
    assert heard(events) == "hello, world"
    assert wire.ask(publish(channel)).status == 201


def test_chunks_may_come_byte_by_byte(wire: Wire, channel: str, events: Wire) -> None:
    for byte in CHUNKED % channel[1:].encode() + b"00005\r\nhello\r\n0\r\n\r\n":
        wire.send(bytes([byte]))
    assert wire.answer().status == 201
    assert heard(events) == "hello"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
def test_body_of_a_request_that_has_no_use_for_it_is_read(method: str, wire: Wire, channel: str, events: Wire) -> None:
    inner = publish(channel)
    for framed in [
        request(method, channel, inner),
        b"%b %b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (method.encode(), channel.encode(), len(inner), inner),
    ]:
        wire.send(framed)
        assert wire.answer(method).status == {"OPTIONS": 204, "DELETE": 405}.get(method, 200)
    assert json.loads(wire.ask(request("GET", channel), "GET").body)["messages"] == 0


# --- targets and methods ----------------------------------------------------------------------------------------------


def test_absolute_target_is_the_same_channel(wire: Wire, channel: str, events: Wire) -> None:
    assert wire.ask(publish(f"http://localhost{channel}", b"absolute")).status == 201
    assert heard(events) == "absolute"


def test_host_of_an_absolute_target_counts(wire: Wire, channel: str) -> None:
    assert wire.ask(publish(f"http://evil.example{channel}")).error == "disallowed_host"


def test_head_has_the_headers_of_get_and_no_body(wire: Wire, channel: str) -> None:
    def told(answer: Answer) -> dict[str, str]:
        return {name: value for name, value in answer.headers.items() if name != "date"}

    asked = told(wire.ask(request("HEAD", channel), "HEAD"))
    assert asked == told(wire.ask(request("GET", channel), "GET"))


def test_options_tells_the_methods(wire: Wire, channel: str) -> None:
    answer = wire.ask(request("OPTIONS", channel), "OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert "POST" in answer.headers["allow"]


def test_browser_is_told_whether_its_page_may_publish(start: Start, channel: str) -> None:
    server = start(servers.serve, env={"EVENTCAST_ALLOWED_ORIGINS": "https://app.example"})
    asked = ("Origin: https://app.example", "Access-Control-Request-Method: POST")
    with Wire(server.port, request("OPTIONS", channel, b"", *asked)) as wire:
        answer = wire.answer("OPTIONS")
        assert (answer.status, answer.body, answer.closes) == (200, b"", False)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        told = wire.ask(publish(channel, b"x", "Origin: https://app.example"))
        assert told.headers["access-control-allow-origin"] == "https://app.example"


# --- what Daphne serves -----------------------------------------------------------------------------------------------

HANDED_OVER = ["/admin/login/", "/static/admin/css/base.css", "/-/channels"]


@pytest.mark.parametrize("target", HANDED_OVER)
def test_request_for_daphne_is_answered_and_ends_its_connection(target: str, wire: Wire) -> None:
    wire.send(request("GET", target))
    answer = wire.answer("GET")
    assert (answer.status, answer.closes) == (200, True)
    assert wire.rest() == b""


@pytest.mark.parametrize("head", [b"x" * 9000, b"x" * 15000])
def test_head_for_daphne_may_be_as_long_as_others(head: bytes, wire: Wire) -> None:
    lines = [f"X-A: {head.decode()}", f"X-B: {head.decode()}"]
    assert wire.ask(request("GET", "/admin/login/", b"", *lines), "GET").status == 200


def test_body_for_daphne_arrives(server: Server) -> None:
    body = b"username=a&password=b"
    for sent in [
        request("POST", "/admin/login/", body, "Content-Type: application/x-www-form-urlencoded"),
        b"POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
    ]:
        with Wire(server.port, sent) as wire:
            answer = wire.answer()
            assert answer.status == 403  # Without Django's token: it has looked at the form.
            assert answer.closes


def test_daphne_takes_no_root_path_from_a_client(wire: Wire) -> None:
    answer = wire.ask(request("GET", "/admin/", b"", "Daphne-Root-Path: /evil"), "GET")
    assert answer.headers["location"] == "/admin/login/?next=/admin/"
