"""Redis, or Valkey, as the bus between processes, by PUBLISH and SUBSCRIBE. Nothing is stored in it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import random
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgpack
import redis.asyncio
import redis.asyncio.sentinel
import redis.exceptions
import redis.sentinel

from eventcast.exceptions import LayerUnavailable
from eventcast.layers.bus import TIMEOUT, Bus, Then, ignore, settle
from eventcast.layers.cluster import ClusterLayer
from eventcast.layers.redis_connections import Publishing, Subscribing
from eventcast.layers.resp import command

logger = logging.getLogger("eventcast.layers")

LONGEST_RETRY = 2.0
"""Seconds at most between two attempts to connect. They are random, because all processes lose a Redis together."""

FAILURES = (OSError, redis.exceptions.RedisError, LayerUnavailable, asyncio.TimeoutError)


class Address:
    """Where a Redis is, as the channel layers of channels_redis and redis-py take it.

    :param host: a URL; or a dict of ``address``, the URL, or of ``sentinels`` and ``master_name``. What else is in the
        dict are parameters of redis-py's connections.
    """

    def __init__(self, host: str | Mapping[str, Any]) -> None:
        options = {"address": host} if isinstance(host, str) else dict(host)
        self._url = options.pop("address", "")
        self._sentinels = options.pop("sentinels", ())
        self._sentinel_options = options.pop("sentinel_kwargs", None)
        self._master = options.pop("master_name", "")
        if not self._url and not (self._sentinels and self._master):
            raise ValueError(
                "A host of Redis is a URL, or a dict with 'address', or with 'sentinels' and 'master_name'."
            )
        self._options = {"socket_connect_timeout": TIMEOUT / 2, "socket_timeout": TIMEOUT / 2, **options, "protocol": 2}
        self.database = int(self._pool(redis.asyncio).connection_kwargs.get("db") or 0)
        place = urlsplit(self._url)
        self.name = self._master or place.netloc.rpartition("@")[2] or place.path
        """For the log: without passwords."""

    def _pool(self, module: Any) -> Any:
        if self._url:
            return module.ConnectionPool.from_url(self._url, **self._options)
        options = {"sentinel_kwargs": self._sentinel_options, **self._options}
        return module.sentinel.Sentinel(self._sentinels, **options).master_for(self._master).connection_pool

    async def open(self) -> Any:
        """A connection of redis-py on this event loop, ready for commands."""
        pool = self._pool(redis.asyncio)
        connection = pool.make_connection()
        try:
            await connection.connect()
        finally:
            for sentinel in pool.sentinel_manager.sentinels if self._sentinels else ():
                await sentinel.aclose()
        return connection

    def open_now(self) -> Any:
        """Open a connection without an event loop."""
        pool = self._pool(redis)
        connection = pool.make_connection()
        connection.connect()
        return connection


class RedisBus(Bus):
    """Carries payloads by a Redis, to the processes with the same prefix.

    A Redis that does not answer is left, and both connections are made again: :attr:`up` is True while what this
    process publishes comes back to it.
    """

    encode = staticmethod(msgpack.packb)
    decode = staticmethod(msgpack.unpackb)
    up = False

    def __init__(self, address: Address, prefix: str) -> None:
        self._address = address
        self._prefix = prefix.encode()
        self._wanted: set[bytes] = set()
        self._publishing: Publishing | None = None
        self._subscribing: Subscribing | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._tried: asyncio.Event | None = None
        self._probe = b""
        self._probed: asyncio.Future[None] | None = None
        self._reported = False  # Whether the log has the present loss.
        self._caller = _Caller(address)

    async def start(self) -> None:
        self._end()
        self._wanted.clear()
        self._tried, self._reported = asyncio.Event(), False
        self._connecting = asyncio.create_task(self._connect_on(0))
        await self._tried.wait()

    async def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        self._end()

    def _end(self) -> None:
        self.up = False
        for connection in (self._publishing, self._subscribing):
            if connection is not None:
                connection.end()
        self._publishing = self._subscribing = None

    def _lose(self, reason: str) -> None:
        """End connections that do not work, and make new ones."""
        was_up = self.up
        self._end()
        if self._probed is not None and not self._probed.done():
            self._probed.set_exception(LayerUnavailable(reason))
        if was_up:
            self._report(reason)
            self._connecting = asyncio.get_running_loop().create_task(self._connect_on(1))

    suspect = _lose

    def _report(self, reason: str) -> None:
        if not self._reported:
            self._reported = True
            text = "Redis %s cannot be reached: %s. Messages reach the subscribers of this process only; trying on."
            logger.error(text, self._address.name, reason)

    async def _connect_on(self, failures: int) -> None:
        """Connect, with retries after random pauses, so that the processes do not reconnect all at once."""
        assert self._tried is not None
        while not self.up:
            if failures:
                await asyncio.sleep(random.uniform(0, min(LONGEST_RETRY, 0.1 * 2 ** min(failures, 10))))
            try:
                await self._connect()
                self.up = True
            except FAILURES as error:
                self._end()
                self._report(str(error) or repr(error))
                failures += 1
            self._tried.set()
        if self._reported:
            self._reported = False
            self.returned()
            text = "Redis %s is back. What processes published meanwhile reached their own subscribers only."
            logger.warning(text, self._address.name)

    async def _connect(self) -> None:
        """Connect, subscribe to all topics again, and wait until a message of this process has come back."""
        subscribing = self._subscribing = Subscribing(await self._address.open(), self._lose, self._take, self.paused)
        publishing = self._publishing = Publishing(await self._address.open(), self._lose)
        self._probe = self._prefix + secrets.token_hex(8).encode()
        loop = asyncio.get_running_loop()
        self._probed, taken = loop.create_future(), loop.create_future()
        try:
            while waiting := subscribing.subscribe([self._probe, *self._wanted]):
                await _wait(waiting)
            publishing.publish(self._probe, b"", functools.partial(settle, taken))
            await taken
            await _wait([self._probed])
            self._probed.result()
        finally:
            self._probed.cancel()
            self._probed = None

    async def subscribe(self, topics: Sequence[str]) -> None:
        wanted = [self._prefix + topic.encode() for topic in topics]
        self._wanted.update(wanted)
        if self._tried is not None:
            await self._tried.wait()
        if self._subscribing is not None:
            waiting = self._subscribing.subscribe(wanted)
            if waiting and self.up:
                await _wait(waiting)

    def unsubscribe(self, topics: Sequence[str]) -> None:
        unwanted = [self._prefix + topic.encode() for topic in topics]
        self._wanted.difference_update(unwanted)
        if self._subscribing is not None:
            self._subscribing.unsubscribe(unwanted)

    def publish(self, topic: str, payload: bytes, then: Then = ignore) -> None:
        if self._publishing is None or not self.up:
            then(LayerUnavailable("Redis cannot be reached; nothing was sent. Try again later."))
        else:
            self._publishing.publish(self._prefix + topic.encode(), payload, then)

    def publish_now(self, sends: Sequence[tuple[str, bytes]]) -> Sequence[int | LayerUnavailable]:
        return self._caller.publish(
            [command(b"PUBLISH", self._prefix + topic.encode(), payload) for topic, payload in sends]
        )

    def _take(self, topic: bytes, payload: bytes) -> None:
        if topic != self._probe:
            self.receive(topic[len(self._prefix) :].decode(), payload)
        elif self._probed is not None and not self._probed.done():
            self._probed.set_result(None)


async def _wait(futures: Sequence[asyncio.Future[None]]) -> None:
    _, late = await asyncio.wait(futures, timeout=TIMEOUT)
    if late:
        raise LayerUnavailable(f"Redis has not confirmed a subscription for {TIMEOUT:g} s. Try again later.")


class _Caller:
    """Publishes for processes without an event loop, such as those of Celery: over one connection, which is kept."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Any = None
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def publish(self, commands: Sequence[bytes]) -> list[int | LayerUnavailable]:
        if self._pid != os.getpid():  # The parent's connection, and its lock, are the parent's.
            self._pid, self._connection, self._lock = os.getpid(), None, threading.Lock()
        if not self._lock.acquire(timeout=TIMEOUT / 2):
            raise LayerUnavailable("Redis does not answer; nothing was sent. Try again later.")
        try:
            return self._publish(commands)
        finally:
            self._lock.release()

    def _publish(self, commands: Sequence[bytes]) -> list[int | LayerUnavailable]:
        try:
            # A readable socket means the end of the connection, because every answer was read.
            if self._connection is not None and self._connection.can_read(0):
                self._drop()
            if self._connection is None:
                self._connection = self._address.open_now()
        except FAILURES as error:
            self._drop()
            raise LayerUnavailable("Redis cannot be reached; nothing was sent. Try again later.") from error
        try:
            self._connection.send_packed_command([b"".join(commands)])  # One round trip for all.
            return [self._read() for _ in commands]
        except FAILURES as error:
            self._drop()
            raise LayerUnavailable("Redis has not answered; the message may have been sent.") from error

    def _read(self) -> int | LayerUnavailable:
        try:
            return int(self._connection.read_response())
        except redis.exceptions.ResponseError as error:
            return LayerUnavailable(f"Redis has refused it ({error}); nothing was sent.")

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(*FAILURES):
                self._connection.disconnect()
            self._connection = None


class RedisChannelLayer(ClusterLayer):
    """The channel layer of processes that share a Redis: ``"CONFIG": {"hosts": ["redis://127.0.0.1:6379/0"]}``.

    :param hosts: one Redis, as :class:`Address` takes it: messages are not shared out among several.
    :param prefix: of the topics in Redis. The default has the number of the database, because PUBLISH disregards it.
    :param options: those of :class:`~eventcast.layers.InMemoryChannelLayer`.
    """

    def __init__(self, hosts: Sequence[str | Mapping[str, Any]] = (), prefix: str = "", **options: Any) -> None:
        if isinstance(hosts, str) or len(hosts) > 1:
            raise ValueError("RedisChannelLayer takes a list of one host.")
        address = Address(hosts[0] if hosts else "redis://127.0.0.1:6379/0")
        super().__init__(RedisBus(address, prefix or f"eventcast.{address.database}."), **options)
