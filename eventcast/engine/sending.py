"""Sends messages through the channel layer: to the subscribers of this process, and to other processes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from channels.layers import BaseChannelLayer

from eventcast.conf import conf
from eventcast.engine import messages, names, presence
from eventcast.engine.background import BackgroundLoop
from eventcast.engine.figures import ThreadSafeCounter
from eventcast.engine.hub import hubs, running_loop
from eventcast.engine.logs import SteadyLogger
from eventcast.exceptions import LayerUnavailable
from eventcast.layers import InMemoryChannelLayer, get_layer, is_local
from eventcast.layers.broadcasts import Broadcast
from eventcast.layers.cluster import ClusterLayer, connections
from eventcast.layers.counting import Reach

logger = SteadyLogger("eventcast.publish")

published = ThreadSafeCounter()
"""Messages that this process has sent through the channel layer."""

LAYER_TIMEOUT = 2.0
"""Seconds that a channel layer of another project, such as channels_redis, has to take a message."""

EVERYWHERE = names.group_name(names.ALL)
"""The group of the processes that have subscribers to patterns."""

captures: list[Callable[[dict[str, Any]], object]] = []
"""Called with the checked event of each publish: the outboxes of ``eventcast.testing``.

While there is one, messages reach only the subscribers of this process, through the in-memory layer.
"""

_background = BackgroundLoop("eventcast.publish")

_NO_LOCK = contextlib.nullcontext()


async def apublish_all(channel: str, data: Sequence[str | bytes], *, event: str = "", count: bool = True) -> Reach:
    """Publish several messages to one channel, in order. If one is invalid, none is sent.

    :param data: text (``str``) or binary (``bytes``) messages.
    :param event: the name of the event, for all messages.
    :param count: whether to count the subscribers of other processes.
    :returns: how many subscribers the channel has, and whether processes are missing in it.
    :raises InvalidChannel, InvalidMessage, MessageTooLarge, LayerUnavailable: as :func:`publish`.
    """
    names.check_channel(channel)
    checked = [messages.check_data(message) for message in data]
    return await asend(messages.to_layer(channel, checked, messages.check_event_name(event)), count=count)


async def asend(event: dict[str, Any], *, count: bool = True) -> Reach:
    """Send checked messages through the channel layer; returns how many subscribers the channel has.

    :param count: whether to count the subscribers of other processes.
    """
    layer, channel = get_layer(), event["channel"]
    if (begun := send_nowait(event, count=count)) is not None:
        return begun if isinstance(begun, Reach) else await begun.reach()
    if captures:
        _capture(event)
    for hub in hubs():  # Subscribers may be on other event loops.
        if hub.is_crowded(channel):
            await hub.wait_while_crowded(channel)
    here = presence.subscriber_count(channel)
    if isinstance(layer, InMemoryChannelLayer):
        _send_in_memory(layer, event)
    elif not captures:
        return (await _send_by_layer(layer, event, count)).with_more(here)
    return Reach(here)


def can_send_nowait(layer: BaseChannelLayer) -> bool:
    """Whether :func:`send_nowait` supports this channel layer: only those of eventcast."""
    return isinstance(layer, (InMemoryChannelLayer, ClusterLayer))


def send_nowait(event: dict[str, Any], *, count: bool = True) -> Reach | Broadcast | None:
    """:func:`asend` without a coroutine. A broadcast calls its ``then`` when other processes, or Redis, have answered.

    :returns: None if it has not sent: subscribers have to catch up first, or the layer is not supported.
    :raises LayerUnavailable: as :func:`publish`.
    """
    layer, total, channel = get_layer(), 0, event["channel"]
    shared = layer if isinstance(layer, ClusterLayer) else None
    if shared is None:
        if not isinstance(layer, InMemoryChannelLayer):
            return None
    elif not shared.is_at_home() or shared.bus.is_crowded():
        return None
    if captures:
        return None
    for hub in hubs():
        if (here := hub.count_unless_crowded(channel)) is None:
            return None
        total += here
    if shared is not None:
        return shared.begin(_sends(event), count=count, more=total, note=_record)
    _send_in_memory(layer, event)
    return Reach(total)


def send(event: dict[str, Any], *, count: bool = False) -> int:
    """Send checked messages without ``await``. In a running event loop, layers of other projects get them later.

    :param count: whether to count the subscribers of other processes, if no event loop runs in this thread.
    :returns: how many subscribers other processes have; 0 if they are not counted.
    """
    layer, on_loop = get_layer(), running_loop() is not None
    if captures:
        _capture(event)
    for hub in hubs():
        if on_loop:
            hub.flush_if_crowded(event["channel"])
        else:
            hub.wait_while_crowded_in_thread(event["channel"])
    if isinstance(layer, InMemoryChannelLayer):
        _send_in_memory(layer, event)
    elif captures:
        pass  # Nothing leaves the process.
    elif isinstance(layer, ClusterLayer) and on_loop and layer.is_at_home():
        with contextlib.suppress(LayerUnavailable):  # logged where it was raised
            layer.begin(_sends(event), note=_record)
    elif on_loop:
        _background.start(_send_in_order(layer, event))
    elif isinstance(layer, ClusterLayer):
        with _logging_failure(event):
            return layer.broadcast_now(_sends(event), count=count).subscribers
    else:
        _background.run(_send_by_layer(layer, event))
    return 0


def _send_in_memory(layer: InMemoryChannelLayer, event: dict[str, Any]) -> None:
    """Needs no event loop. The hubs have the messages when this returns."""
    group = names.group_name(event["channel"])
    if group in layer.groups:
        layer.group_send_nowait(group, event)
    if EVERYWHERE in layer.groups and conf.PATTERN_SUBSCRIPTIONS:
        layer.group_send_nowait(EVERYWHERE, messages.for_patterns(event))
    published.add(len(event["messages"]))


async def _send_by_layer(
    layer: Any, event: dict[str, Any], count: bool = False, lock: AbstractAsyncContextManager[Any] = _NO_LOCK
) -> Reach:
    """Send messages through a layer that reaches other processes. :data:`LAYER_TIMEOUT` limits those of other projects.

    :param lock: keeps the order for publishers that do not wait. The time limit includes waiting for it.
    :raises LayerUnavailable: the layer did not take the messages. After a timeout they may have been sent.
    """
    if isinstance(layer, ClusterLayer):
        with _logging_failure(event):
            async with lock:
                return await layer.broadcast(_sends(event), count=count)

    async def send(group: str, event: dict[str, Any]) -> None:
        async with lock:
            await layer.group_send(group, event)

    with _logging_failure(event):
        error = await _within_limit(send(names.group_name(event["channel"]), event))
        if isinstance(error, TimeoutError):
            raise LayerUnavailable(
                "The channel layer did not answer in {seconds:g} s; the message may have been sent.",
                seconds=LAYER_TIMEOUT,
            ) from error
        if error is not None:
            raise LayerUnavailable("The channel layer cannot be reached; nothing was sent. Try again later.") from error
    if conf.PATTERN_SUBSCRIPTIONS:
        error = await _within_limit(send(EVERYWHERE, messages.for_patterns(event)))
        if error is not None:
            # No error for the publisher, which would send the message twice if it tried again.
            logger.error("Publishing %s to subscribers of patterns failed: %r", names.quoted(event["channel"]), error)
    return Reach(uncounted=not is_local())


def _sends(event: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The groups to send to, each with its event: the group of the channel and that of patterns."""
    sends = [(names.group_name(event["channel"]), event)]
    if conf.PATTERN_SUBSCRIPTIONS:
        sends.append((EVERYWHERE, messages.for_patterns(event)))
    return sends


@contextlib.contextmanager
def _logging_failure(event: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except LayerUnavailable as error:
        _record(event, error)
        raise
    _record(event, None)


def _record(event: dict[str, Any], error: LayerUnavailable | None) -> None:
    """Count the messages as published, or log the error."""
    if error is None:
        published.add(len(event["messages"]))
    else:
        logger.error("Publishing to %s failed: %r", names.quoted(event["channel"]), error.__cause__ or error)


async def _within_limit(sending: Coroutine[Any, Any, None]) -> Exception | None:
    # wait_for() of Python 3.10 and 3.11 can lose a cancellation at the moment of the timeout.
    task = asyncio.ensure_future(sending)
    try:
        await asyncio.wait({task}, timeout=LAYER_TIMEOUT)
    finally:
        if not task.done():
            task.cancel()
    if not task.done():
        return TimeoutError()
    error = task.exception()
    if error is not None and not isinstance(error, Exception):
        raise error
    return error


async def _send_in_order(layer: Any, event: dict[str, Any]) -> None:
    with contextlib.suppress(LayerUnavailable):  # logged where it was raised
        await _send_by_layer(layer, event, lock=_background.order_lock)


def _count(event: dict[str, Any]) -> int:
    """How many subscribers here get an event of another process. Each subscriber is counted once."""
    name, number = event["channel"], 0
    for hub in hubs():
        if event["type"] == messages.PATTERNS_TYPE:
            number += sum(channel.count for channel in hub.patterns.matching(name))
        elif (own := hub.channels.get(name)) is not None:
            number += own.count
    return number


def _connect(layer: ClusterLayer) -> None:
    layer.count_with = _count


connections.append(_connect)


def _capture(event: dict[str, Any]) -> None:
    for capture in captures:
        capture(event)
