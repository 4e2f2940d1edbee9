"""Daphne and the door in one process: what runs between ``eventcast serve`` and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from collections.abc import Callable, Sequence
from typing import Any

from eventcast.conf import conf
from eventcast.engine.closing import GOING_AWAY
from eventcast.engine.hub import Hub, current_hub
from eventcast.layers import get_layer
from eventcast.layers.cluster import ClusterLayer
from eventcast.routing import EventcastRouter
from eventcast.server.daphne import behind_the_door
from eventcast.server.door import Door
from eventcast.server.garbage import keep_passes_short
from eventcast.server.worker import Worker

BACKLOG = 4096
"""Connections that wait to be accepted, for when all subscribers come back at once; the kernel may allow fewer
(net.core.somaxconn). With fewer, the rest try again after a second, then two, then four."""

FASTEST_GOODBYE = 500
"""Subscribers closed per second when the server stops, if ``DRAIN`` is long enough. Closed all at once, they would
reconnect all at once."""

PACE = 0.05
"""Seconds between two groups of them."""

LATE_REQUESTS = 0.5
"""Seconds in which a worker that is replaced still lets subscribers in, on connections that it has just accepted."""

LAST_ANSWERS = 2.0
"""Seconds after that in which the last answers and close frames are sent."""


def serve(
    application: Any,
    sockets: Sequence[socket.socket],
    *,
    worker: Worker | None = None,
    ping_interval: float,
    ping_timeout: float,
    on_listening: Callable[[], None],
    access_log: Callable[[str, str, dict[str, Any]], None] | None,
    **options: Any,
) -> None:
    """Serve by the door, and by Daphne behind it on the same event loop, until a signal ends it.

    :param worker: the link to the parent, if this process is one of several workers.
    :param on_listening: called once connections are accepted and signals are handled.
    :param access_log: Daphne's, or None for no log.
    :param options: further options of Daphne's.
    """

    def begin() -> None:
        loop = asyncio.get_running_loop()
        router = application if isinstance(application, EventcastRouter) else None
        pings = current_hub().keepalive.schedule(ping_interval, ping_timeout or None)
        door = Door(current_hub(), router, daphne.hand_over, pings, access_log)

        def stop(*, retired: bool = False) -> None:
            if len(tasks) > 1:
                tasks[-1].cancel()  # A second signal: at once.
            else:
                tasks.append(loop.create_task(_drain(door, daphne, layers, worker, retired=retired)))

        async def open_up() -> None:
            for layer in layers:
                await layer.start()
            if worker is not None:
                worker.join(stop)
            if len(tasks) == 1:
                for sock in sockets:
                    door.listen(sock)
                on_listening()

        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            if hasattr(signal, name):
                loop.add_signal_handler(getattr(signal, name), stop)
        tasks = [loop.create_task(open_up())]
        tasks[0].add_done_callback(lambda opened: opened.result())  # An error is one of the event loop's.

    used = [get_layer(), *([worker.layer] if worker is not None else [])]
    layers = [layer for layer in dict.fromkeys(used) if isinstance(layer, ClusterLayer)]
    daphne = behind_the_door(application, begin, action_logger=access_log, **options)
    keep_passes_short()
    daphne.run()


async def _drain(
    door: Door, daphne: Any, layers: Sequence[ClusterLayer], worker: Worker | None, *, retired: bool
) -> None:
    """Accept nothing more, answer what was asked, and close subscribers one after the other.

    :param retired: another worker has taken the place of this one: answer also what is still asked on connections that
        are open, for as long as subscribers get.
    """
    hub, loop = door.hub, asyncio.get_running_loop()

    async def wait(end: float) -> None:
        while loop.time() < end and (door.connections or hub.keepalive.peers):  # noqa: ASYNC110 (no event for it)
            await asyncio.sleep(0.01)

    try:
        door.stop_accepting(unlink=worker is None)
        end = loop.time() + conf.DRAIN
        if retired:
            await asyncio.sleep(LATE_REQUESTS)
        else:
            door.close_idle()
        if worker is not None:
            await worker.catch_up()
        hub.stopping = True
        await _say_goodbye(hub, conf.DRAIN)
        if retired:
            await wait(end)
            door.close_idle()
        await wait(loop.time() + LAST_ANSWERS)
        for layer in layers:
            await layer.close()
    finally:
        daphne.stop()


async def _say_goodbye(hub: Hub, seconds: float) -> None:
    subscribers = hub.subscribers()
    groups = max(1, round(min(seconds, len(subscribers) / FASTEST_GOODBYE) / PACE))
    for number in range(groups):
        leaving = subscribers[number::groups]
        for channel in {each.channel for each in leaving if each.channel is not None}:
            channel.advance(float("inf"))  # Messages that were published before are delivered.
        for subscriber in leaving:
            subscriber.close(GOING_AWAY)
        if number + 1 < groups:
            await asyncio.sleep(PACE)


def listen_on_tcp(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on an address, IPv6 with or without brackets; a name may have several."""
    flags = socket.AI_PASSIVE | socket.AI_NUMERICSERV
    found = socket.getaddrinfo(host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=flags)
    return [listen_at(family, address) for family, *_, address in dict.fromkeys(found)]


def listen_at(family: int, address: Any, *, shared: bool = False) -> socket.socket:
    """A TCP socket that listens; ``shared`` if others may listen at its address that say so as well."""
    sock = socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=shared)
    # Connections inherit these two: a message leaves at once, and a peer that is gone is found out in the end.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def listen_on_unix(path: str) -> socket.socket:
    """A Unix socket that listens. One that a killed server left behind is replaced: nothing answers there."""
    if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(path)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
