"""A server that does as it is told, for clients to be seen with one that fails."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

CUT = 0
"""Where a status would stand: the connection is closed without an answer."""


class Told:
    """A server that answers each request with the next status it was given, and with 202 when there is none left."""

    def __init__(self) -> None:
        told = self
        self.statuses: list[int] = []
        self.bodies: list[str] = []
        self.keys: list[str | None] = []
        """``Authorization`` of each request, or else ``X-API-Key``."""
        self.subscribers = 0
        self.burst = 1000
        """Messages that a request may carry; more are refused with 429."""

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                told.bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                told.keys.append(self.headers["Authorization"] or self.headers["X-API-Key"])
                status = told.statuses.pop(0) if told.statuses else 202
                if status == CUT:
                    self.close_connection = True
                    return
                answer = json.dumps({"subscribers": told.subscribers}).encode()
                if told.bodies[-1].count("data=") > told.burst:
                    status, answer = 429, b'{"error": "too_many_publishes", "detail": "Send fewer."}'
                self.send_response(status)
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", str(len(answer)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: Any) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
