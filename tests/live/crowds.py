"""Many plain connections from one process: blocking sockets that read only when they are told to."""

from __future__ import annotations

import socket

from tests.live.raw import Raw
from tests.live.servers import Server
from tests.live.waiting import TIMEOUT

SSE = b"text/event-stream"


def websocket_request(target: str, headers: bytes = b"") -> bytes:
    return Raw.handshake(target, headers)


def stream_request(target: str) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: localhost\r\nAccept: %b\r\n\r\n" % (target.encode(), SSE)


def connect(server: Server, request: bytes) -> socket.socket:
    """Open a connection and send a request."""
    sock = socket.create_connection(("127.0.0.1", server.port), TIMEOUT)
    sock.sendall(request)
    return sock


def read_head(sock: socket.socket) -> bytes:
    """Read an answer's head, and no more than came with it."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = sock.recv(4096)
        assert data, head
        head += data
    return head


def connect_all(server: Server, request: bytes, count: int) -> list[socket.socket]:
    """Open connections and read the heads of their answers, a hundred at a time."""
    found: list[socket.socket] = []
    while len(found) < count:
        wave = [connect(server, request) for _ in range(min(100, count - len(found)))]
        for sock in wave:
            head = read_head(sock)
            assert head.startswith((b"HTTP/1.1 101", b"HTTP/1.1 200")), head
        found += wave
    return found


def read_until(sock: socket.socket, end: bytes) -> None:
    """Read up to the last bytes of what was published."""
    received = b""
    while end not in received:
        data = sock.recv(65536)
        assert data, received
        received = received[-len(end) :] + data


def close_all(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
