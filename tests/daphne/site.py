"""A Daphne in this process, on its own event loop, where the tests beside it run as well."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from daphne.server import Server, twisted_loop
from twisted.internet import reactor

from eventcast.engine.fanout import LocalChannel
from eventcast.engine.messages import Message
from eventcast.engine.subscribers import Subscriber
from eventcast.server import daphne
from eventcast.websocket.transports import for_websocket
from tests.daphne.client import Client
from tests.fakes import TIMEOUT, until


def on_reactor(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on the event loop of Twisted's reactor, which is nobody else's."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        twisted_loop.run_until_complete(asyncio.wait_for(test(*args, **kwargs), 3 * TIMEOUT))

    return run


class Listener:
    """The ASGI application: whoever connects listens to one channel."""

    def __init__(self) -> None:
        self.channel = LocalChannel("/a")
        self.protocols: list[Any] = []
        self.subscribers: list[Subscriber] = []
        self.running = 0
        self.before_accept: Callable[[Any, Subscriber], None] | None = None
        self.after_open: Callable[[], None] = lambda: None
        self.wrap: Callable[[Any], Any] = lambda send: send

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.running += 1
        try:
            await self.serve(scope, receive, self.wrap(send))
        finally:
            self.running -= 1

    async def serve(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        protocol = daphne.find_protocol(send, scope["client"])
        assert protocol is not None
        self.protocols.append(protocol)
        await receive()
        subscriber = Subscriber(for_websocket(send, protocol))
        self.subscribers.append(subscriber)
        self.channel.add(subscriber)
        try:
            if self.before_accept is not None:
                self.before_accept(protocol, subscriber)
            await send({"type": "websocket.accept"})
            subscriber.transport.open(subscriber)
            self.after_open()
            while (await receive())["type"] != "websocket.disconnect":
                pass
        except asyncio.CancelledError:
            if not subscriber.transport.closed:
                raise
            await subscriber.transport.finish()
        finally:
            subscriber.leave()
            subscriber.transport.release()

    def publish(self, *data: str | bytes) -> None:
        """Write messages to everybody, at once."""
        self.channel.publish([Message(item) for item in data])
        assert self.channel.advance(float("inf"))


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
    """A Daphne in this process, and its clients."""

    def __init__(self, endpoint: str) -> None:
        self.server = StartedServer(self.application, endpoint)
        self.listener = Listener()
        self.port = self.server.port
        self.clients: list[Client] = []

    async def application(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.listener(scope, receive, send)

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
        return client, self.listener.subscribers[-1]

    async def connect_straight(self, **options: Any) -> tuple[Client, Subscriber, Any]:
        """A client that is written to straight, its subscriber and its protocol."""
        client, subscriber = await self.connect(**options)
        await until(lambda: subscriber.position >= 0)
        return client, subscriber, self.listener.protocols[-1]

    async def hang_up(self) -> None:
        for client in self.clients:
            client.reset()
            with contextlib.suppress(OSError):
                await client.writer.wait_closed()
        self.clients.clear()
        await until(lambda: not self.listener.running)
        self.listener = Listener()

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


Handler = Callable[[dict[str, Any], Any, Any], Coroutine[Any, Any, None]]


async def request(site: Site, handler: Handler, *headers: str) -> Client:
    """A client whose request has come to the handler, which has answered or not."""
    done = asyncio.Event()

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        try:
            await handler(scope, receive, send)
        finally:
            done.set()

    listener, site.listener = site.listener, application  # type: ignore[assignment]
    try:
        client = await site.dial()
        client.writer.write("\r\n".join(["GET /a HTTP/1.1", "Host: localhost", *headers, "", ""]).encode())
        await asyncio.wait_for(done.wait(), TIMEOUT)
    finally:
        site.listener = listener
    return client


@contextlib.contextmanager
def full(protocol: Any) -> Iterator[None]:
    """Twisted may not write to its socket meanwhile, as if it were full."""
    descriptor = protocol.transport
    descriptor.doWrite = lambda: None
    try:
        yield
    finally:
        del descriptor.doWrite
