"""A plain Daphne in this process, on its own event loop, where the tests beside it run as well."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from daphne.server import Server, twisted_loop
from django.core.handlers.asgi import ASGIHandler
from twisted.internet import reactor

from eventcast.engine.hub import current_hub
from eventcast.engine.subscribers import Subscriber
from eventcast.routing import EventcastRouter
from eventcast.server import daphne
from tests.daphne.client import Client
from tests.fakes import TIMEOUT, until


def on_reactor(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on the event loop of Twisted's reactor, which runs nothing else."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        twisted_loop.run_until_complete(asyncio.wait_for(test(*args, **kwargs), 3 * TIMEOUT))

    return run


class StartedServer(Server):  # type: ignore[misc]
    """A Daphne that does all that run() does, but run the reactor."""

    port: Any = None

    def __init__(self, application: Any, endpoint: str) -> None:
        super().__init__(application, endpoints=[endpoint], signal_handlers=False)
        self.abort_start = True
        self.run()

    def listen_success(self, port: Any) -> None:
        self.port = port


class Site:
    """A Daphne with eventcast, and its clients."""

    def __init__(self, endpoint: str) -> None:
        self.serve: Any = EventcastRouter(ASGIHandler())
        """The ASGI application."""
        self.protocols: list[Any] = []
        """Daphne's, of all connections that have come to the application."""
        self.running = 0
        self.clients: list[Client] = []
        self.server = StartedServer(self.application, endpoint)
        self.port = self.server.port

    async def application(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.protocols.append(daphne.find_protocol(scope, send))
        self.running += 1
        try:
            await self.serve(scope, receive, send)
        finally:
            self.running -= 1

    async def dial(self, **options: Any) -> Client:
        """A client that is connected, and has said nothing yet."""
        address = self.port.getHost()
        if hasattr(address, "port"):
            streams = await asyncio.open_connection("127.0.0.1", address.port, **options)
        else:
            streams = await asyncio.open_unix_connection(address.name)
        client = Client(*streams)
        self.clients.append(client)
        return client

    async def connect(self, target: str = "/a", *headers: str, **options: Any) -> tuple[Client, Subscriber]:
        """A client whose handshake is over, and its subscriber."""
        client = await self.dial(**options)
        await client.send_handshake(target, *headers)
        assert " 101 " in await client.head()
        return client, current_hub().subscribers()[-1]

    async def stream(self, accept: str = "text/event-stream", version: str = "1.1") -> tuple[Client, str]:
        """A client whose stream has begun, and the head of the response."""
        client = await self.dial()
        lines = [f"GET /a HTTP/{version}", "Host: localhost", f"Accept: {accept}", "", ""]
        client.writer.write("\r\n".join(lines).encode())
        head = await client.head()
        await until(lambda: current_hub().subscribers())
        return client, head

    async def request(self, handler: Any, *headers: str) -> Client:
        """A client whose request has come to a handler, which is over."""
        done = asyncio.Event()

        async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
            try:
                await handler(scope, receive, send)
            finally:
                done.set()

        serve, self.serve = self.serve, application
        try:
            client = await self.dial()
            client.writer.write("\r\n".join(["GET /a HTTP/1.1", "Host: localhost", *headers, "", ""]).encode())
            await asyncio.wait_for(done.wait(), TIMEOUT)
        finally:
            self.serve = serve
        return client

    async def hang_up(self) -> None:
        """All clients vanish; wait until nothing is left of them."""
        for client in self.clients:
            client.reset()
            with contextlib.suppress(OSError):
                await client.writer.wait_closed()
        self.clients.clear()
        self.protocols.clear()
        await until(lambda: not self.running and not current_hub().subscribers())

    async def stop(self) -> None:
        await self.hang_up()
        with contextlib.suppress(KeyError):  # Daphne's own, for a request that is being upgraded
            self.server.kill_all_applications()
        await self.port.stopListening().asFuture(twisted_loop)


@contextlib.contextmanager
def daphne_on(endpoint: str) -> Iterator[Site]:
    before = set(reactor.getDelayedCalls())
    site = Site(endpoint)
    asyncio.set_event_loop(None)  # run() has set the reactor's
    try:
        yield site
    finally:
        twisted_loop.run_until_complete(site.stop())
        for call in set(reactor.getDelayedCalls()) - before:
            call.cancel()
