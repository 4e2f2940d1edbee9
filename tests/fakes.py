"""Fakes for the edges that tests stand on: a peer's connection, an ASGI server."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from channels import layers as channels_layers

from eventcast.engine.closing import Closing
from eventcast.engine.encoders import Batch
from eventcast.engine.messages import Message
from eventcast.engine.subscribers import Subscriber
from eventcast.security.authorization import asking
from eventcast.security.authorization.permits import Permit
from eventcast.server import daphne

TIMEOUT = 10.0
"""Seconds after which what a test waits for is taken not to come."""


async def until(condition: Callable[[], Any], *, timeout: float = TIMEOUT) -> None:
    """Give others the event loop until ``condition()`` is true."""
    deadline = asyncio.get_running_loop().time() + timeout
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"{condition} did not become true")
        await asyncio.sleep(0.001)


def set_clock(monkeypatch: pytest.MonkeyPatch, module: Any, now: float) -> None:
    """Stop the clock of one module, and not that of the event loop."""
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))


def close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Close an event loop when its last tasks are over: a hub's receiver is cancelled when the last subscriber leaves,
    and has to run for that once more, or it would still wait in the channel layer for the rest of the process."""
    if tasks := asyncio.all_tasks(loop):
        loop.run_until_complete(asyncio.wait(tasks, timeout=TIMEOUT))
    loop.close()


def frames_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The opcode and payload of each unmasked, unfragmented WebSocket frame; fails if the bytes are anything else."""
    position = 0
    while position < len(data):
        first, size = data[position], data[position + 1]
        assert first & 0xF0 == 0x80, f"no frame begins at {position}: {data[position : position + 10]!r}"
        assert size < 128, "a server's frames are not masked"
        position += 2
        if size == 126:
            (size,) = struct.unpack_from("!H", data, position)
            position += 2
        elif size == 127:
            (size,) = struct.unpack_from("!Q", data, position)
            position += 8
        assert position + size <= len(data), "the last frame is not whole"
        yield first & 0x0F, bytes(data[position : position + size])
        position += size


async def permit(action: Any, request: Any, wanted: Any) -> Permit:
    """What the authorization of the settings answers."""
    found = asking.ask(asking.current(), action, request, wanted)
    return found if isinstance(found, Permit) else await found


class FakeSubscriber(Subscriber):
    """A subscriber whose client takes everything that is written, and remembers it."""

    transport = "fake"

    def __init__(self, **described: str) -> None:
        super().__init__(**described)
        self.messages: list[Message] = []
        self.close_code: int | None = None

    @property
    def data(self) -> list[str | bytes]:
        """What the client has got."""
        return [message.data for message in self.messages]

    def write(self, batch: Batch) -> int:
        self.messages += batch.messages
        return len(batch)

    def end_with(self, closing: Closing) -> None:
        self.close_code = closing.code


class StuckSubscriber(FakeSubscriber):
    """A subscriber whose client takes nothing: all that is written is pending."""

    def __init__(self, pending: int = 0, **described: str) -> None:
        super().__init__(**described)
        self.pending = pending

    def write(self, batch: Batch) -> int:
        self.pending += len(batch.piece(self.encoder).data)
        self.note_pending()
        return super().write(batch)

    def read(self, left: int = 0) -> None:
        """The client reads, but for ``left`` bytes."""
        self.pending = left
        self.note_progress()


class FailingSubscriber(FakeSubscriber):
    """A subscriber with a bug: whatever is written, it raises."""

    def write(self, batch: Batch) -> int:
        raise RuntimeError("a bug")


class Connection:
    """An ASGI server as one application instance sees it: what it receives, what it sends.

    :param scope: what differs from a plain request for ``/``.
    """

    def __init__(self, application: Any, **scope: Any) -> None:
        kind = scope.get("type", "websocket")
        self.scope = {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "ws" if kind == "websocket" else "http",
            "path": "/",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"testserver")],
            "client": ["192.0.2.1", 12345],
            "server": ["127.0.0.1", 80],
            **({"subprotocols": []} if kind == "websocket" else {}),
            **scope,
        }
        self.sent: list[dict[str, Any]] = []
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.on_send: Callable[[dict[str, Any]], Awaitable[None]] | None = None
        """Called with each event before it is taken: may wait, may raise."""
        self._application = application
        self.task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Run the application."""
        self.task = asyncio.ensure_future(self._application(self.scope, self.inbox.get, self.send))
        return self.task

    async def send(self, event: dict[str, Any]) -> None:
        if self.on_send is not None:
            await self.on_send(event)
        self.sent.append(event)

    def types(self) -> list[str]:
        """The types of what was sent."""
        return [event["type"] for event in self.sent]

    # --- WebSocket ---

    async def connect(self) -> Connection:
        """Open the socket, and wait for the first answer, or the end of the application."""
        task = self.start()
        self.inbox.put_nowait({"type": "websocket.connect"})
        await until(lambda: self.sent or task.done())
        return self

    async def disconnect(self, code: int = 1005) -> None:
        """The client leaves; wait until the application is over."""
        assert self.task is not None
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": code})
        await asyncio.wait_for(self.task, TIMEOUT)

    @property
    def heard(self) -> list[str | bytes]:
        """The messages that were sent."""
        return [
            event["text"] if event.get("text") is not None else event["bytes"]
            for event in self.sent
            if event["type"] == "websocket.send"
        ]


def websocket(application: Any, target: str, **scope: Any) -> Connection:
    """A socket to a raw request target, as an honest server hands it on."""
    raw_path, _, query = target.partition("?")
    scope = {"path": unquote(raw_path), "raw_path": raw_path.encode(), "query_string": query.encode(), **scope}
    return Connection(application, type="websocket", **scope)


class FlakyLayer(channels_layers.InMemoryChannelLayer):  # type: ignore[misc]
    """A channel layer that can be out of order: ``failing`` names the methods that raise."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.failing: set[str] = set()
        self.calls: list[str] = []
        self.gate: asyncio.Event | None = None
        """If set, group_add() and group_discard() wait for it, as they do for a network."""

    async def _pass(self, method: str) -> None:
        self.calls.append(method)
        if method in self.failing:
            raise ConnectionError("the layer is down")
        if self.gate is not None and method.startswith("group_") and method != "group_send":
            await self.gate.wait()

    async def new_channel(self, prefix: str = "specific.") -> str:
        await self._pass("new_channel")
        name: str = await super().new_channel(prefix)
        return name

    async def receive(self, channel: str) -> dict[str, Any]:
        await self._pass("receive")
        event: dict[str, Any] = await super().receive(channel)
        return event

    async def group_add(self, group: str, channel: str) -> None:
        await self._pass("group_add")
        await super().group_add(group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        await self._pass("group_discard")
        await super().group_discard(group, channel)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        await self._pass("group_send")
        await super().group_send(group, message)


@contextlib.contextmanager
def layer_in_use(layer: Any) -> Iterator[Any]:
    """Make a channel layer the one eventcast uses."""
    manager = channels_layers.channel_layers
    before = manager.set("eventcast", layer)
    try:
        yield layer
    finally:
        manager.backends.pop("eventcast")
        if before is not None:
            manager.set("eventcast", before)


@contextlib.contextmanager
def insides_with(problem: str) -> Iterator[None]:
    """A Daphne whose insides are not what they should be."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(daphne, "problems", lambda: (problem,))
        yield
