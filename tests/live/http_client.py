"""An HTTP client of our own: sends targets byte for byte and keeps its connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterable
from typing import Any

from tests.live.waiting import TIMEOUT, until

Headers = Iterable[tuple[str, str]]


class Response:
    """The answer to an HTTP request."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        """By names in lower case; of those that come twice, the last."""
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The stable code of a refusal."""
        assert self.headers["content-type"] == "application/json", self.body
        found = self.json()
        assert set(found) == {"error", "detail"}, found
        assert found["detail"]
        return str(found["error"])

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.body[:200]!r}>"


class HTTP:
    """One HTTP/1.1 connection, kept alive; opened on first use, and again if the server has closed it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def request(
        self, method: str, target: str | bytes, body: bytes = b"", headers: Headers = (), timeout: float = TIMEOUT
    ) -> Response:
        """Send one request, whose target goes out byte for byte, and read its answer."""
        await self.send(self.encode(method, target, body, headers))
        return await asyncio.wait_for(self.read_response(method), timeout)

    async def post(self, target: str | bytes, body: bytes | str, kind: str = "text/plain", **options: Any) -> Response:
        """POST ``body`` as the Content-Type ``kind``."""
        data = body.encode() if isinstance(body, str) else body
        return await self.request("POST", target, data, [("Content-Type", kind)], **options)

    async def count(self, target: str | bytes) -> int:
        """How many subscribers the channel has, by its own account."""
        response = await self.request("GET", target, headers=[("Accept", "application/json")])
        assert response.status == 200, response
        return int(response.json()["subscribers"])

    async def wait_for_count(self, target: str | bytes, count: int, timeout: float = TIMEOUT) -> None:
        """Wait until the channel has that many subscribers."""

        async def is_so() -> bool:
            return await self.count(target) == count

        await until(is_so, f"{count} subscribers of {target!r}", timeout)

    def encode(self, method: str, target: str | bytes, body: bytes = b"", headers: Headers = ()) -> bytes:
        """A whole request as bytes, so that many can leave in one write."""
        lines = [method.encode() + b" " + target_bytes(target) + b" HTTP/1.1", b"Host: 127.0.0.1:%d" % self.port]
        lines += [f"{name}: {value}".encode() for name, value in headers]
        if body or method in ("POST", "PUT"):
            lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    async def send(self, data: bytes) -> None:
        """Send bytes as they are; they may be several requests."""
        if self._writer is None:
            limit = 4 * 1024 * 1024
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port, limit=limit)
        self._writer.write(data)

    async def read_response(self, method: str = "POST") -> Response:
        """The next answer. The server may close the connection after it, or say so: it is opened again then."""
        assert self._reader is not None
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            await self.close()
            raise ConnectionResetError("closed without an answer") from error
        status = int(head.split(b" ", 2)[1])
        headers = parse_headers(head)
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = await self._read_chunks()
        elif "content-length" in headers:
            body = await self._reader.readexactly(int(headers["content-length"]))
        else:
            body = await self._reader.read()
            headers["connection"] = "close"
        if headers.get("connection", "").lower() == "close":
            await self.close()
        return Response(status, headers, body)

    async def _read_chunks(self) -> bytes:
        assert self._reader is not None
        body = b""
        while size := int(await self._reader.readline(), 16):
            body += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return body

    async def close(self) -> None:
        if self._writer is not None:
            writer, self._writer, self._reader = self._writer, None, None
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def target_bytes(target: str | bytes) -> bytes:
    return target.encode() if isinstance(target, str) else target


def parse_headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
