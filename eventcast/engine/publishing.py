"""``publish`` and ``apublish``: from any code of this process to all subscribers of a channel."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import transaction

from eventcast.conf import conf
from eventcast.engine import messages, names, presence
from eventcast.engine.background import BackgroundLoop
from eventcast.engine.figures import Tally
from eventcast.engine.hub import hubs
from eventcast.exceptions import LayerUnavailable
from eventcast.layers import InMemoryChannelLayer, get_layer

logger = logging.getLogger("eventcast.publish")

published = Tally()
"""Messages handed to the channel layer by this process."""

LAYER_TIMEOUT = 2.0
"""Seconds that a channel layer of another project, such as Redis, has to take a message."""

EVERYWHERE = names.group_name(names.ALL)
"""The group of the processes that have subscribers to patterns."""

captures: list[Callable[[str, Sequence[str | bytes]], object]] = []
"""Called with the channel and the messages of each publish, which were checked: the outboxes of ``eventcast.testing``.

While there is one, messages reach the subscribers of this process by the in-memory layer, and nothing else.
"""

_background = BackgroundLoop("eventcast.publish")

_AT_ONCE = contextlib.nullcontext()


def publish(
    channel: str, data: Any, *, event: str = "", on_commit: bool = False, using: str | None = None
) -> int | None:
    """Send a message to all subscribers of ``channel``. Safe in any thread of the process.

    In a thread without a running event loop it waits while the channel's subscribers have to catch up, for at most five
    seconds. On the thread of a running event loop it cannot wait: a loop of calls there, without an ``await``, loses
    what is over 16 MiB a channel, and a subscriber that is over its bound for a second is closed. Use :func:`apublish`
    there. What is lost is counted as ``lost`` of the channel.

    :param channel: an absolute path, not percent-encoded, such as ``"/orders/42"``; a mount's prefix belongs to it.
    :param data: ``str`` is sent as text, ``bytes`` as binary, anything else as compact JSON (Django's encoder).
    :param event: the name of the event, such as ``"paid"``: ``event`` of Server-Sent Events and in lines of JSON. Plain
        WebSockets do not show it.
    :param on_commit: wait for the database transaction; nothing is sent if it is rolled back. ``data`` is encoded now.
    :param using: the database alias of that transaction; default: the default database.
    :returns: how many subscribers this process has on the channel; None with ``on_commit``.
    :raises InvalidChannel: ``channel`` is not an absolute path, or too long (``ChannelTooLong``).
    :raises InvalidMessage: ``data`` has no JSON form or is text that UTF-8 cannot encode; ``InvalidEventName``:
        ``event`` has a line break or is over 128 bytes.
    :raises MessageTooLarge: it is over ``MAX_MESSAGE_SIZE``.
    :raises LayerUnavailable: the channel layer did not take the message. With ``on_commit``, and on the thread of a
        running event loop with a layer other than the in-memory one, this is logged instead.
    :raises SynchronousOnlyOperation: with ``on_commit`` on the thread of a running event loop, which has no
        transaction.
    """
    found = _event(channel, [messages.to_data(data)], event)
    if on_commit:
        if _on_a_loop():
            raise SynchronousOnlyOperation("In async def, write await eventcast.apublish(…, on_commit=True) instead.")
        _after_commit(found, using)
        return None
    _send(found)
    return presence.subscriber_count(channel)


async def apublish(
    channel: str, data: Any, *, event: str = "", on_commit: bool = False, using: str | None = None
) -> int | None:
    """The same as :func:`publish`, to be awaited. Safe on any event loop of the process.

    It waits while the channel's subscribers have to catch up, so that a loop of calls loses nothing with subscribers
    that read.
    """
    if on_commit:
        await sync_to_async(_after_commit)(_event(channel, [messages.to_data(data)], event), using)
        return None
    return await apublish_many(channel, [messages.to_data(data)], event=event)


async def apublish_many(channel: str, data: Sequence[str | bytes], *, event: str = "") -> int:
    """Publish several messages to one channel, in order: all of them, or none if one is refused.

    :param data: text (``str``) or binary (``bytes``) messages.
    :param event: the name of the event that all of them have.
    :returns: how many subscribers this process has on the channel.
    :raises InvalidChannel, InvalidMessage, MessageTooLarge, LayerUnavailable: as :func:`publish`.
    """
    names.check_channel(channel)
    return await apublish_checked(channel, data, messages.check_event_name(event))


async def apublish_checked(channel: str, data: Sequence[str | bytes], event_name: str = "") -> int:
    """The same for names that were checked."""
    event = messages.to_layer(channel, [messages.check_data(message) for message in data], event_name)
    if captures:
        _capture(event)
    for hub in hubs():  # a subscriber's event loop may be another than the publisher's
        if hub.is_crowded(channel):
            await hub.wait_for_room(channel)
    layer = get_layer()
    if isinstance(layer, InMemoryChannelLayer):
        _send_in_memory(layer, event)
    elif not captures:
        await _send_by_layer(layer, event)
    return presence.subscriber_count(channel)


def _event(channel: str, data: Sequence[str | bytes], event_name: str) -> dict[str, Any]:
    names.check_channel(channel)
    checked = [messages.check_data(message) for message in data]
    return messages.to_layer(channel, checked, messages.check_event_name(event_name))


def _after_commit(event: dict[str, Any], using: str | None) -> None:
    def send() -> None:  # not a partial: Django wants a __qualname__ when it logs a failure
        _send(event)

    # robust: a channel layer that is down must not keep the callbacks of others from running.
    transaction.on_commit(send, using=using, robust=True)


def _capture(event: dict[str, Any]) -> None:
    for capture in captures:
        capture(event["channel"], event["messages"])


def _send(event: dict[str, Any]) -> None:
    layer, on_loop = get_layer(), _on_a_loop()
    if captures:
        _capture(event)
    for hub in hubs():
        if on_loop:
            hub.make_room_now(event["channel"])
        else:
            hub.wait_for_room_in_thread(event["channel"])
    if isinstance(layer, InMemoryChannelLayer):
        _send_in_memory(layer, event)
    elif captures:
        pass  # Nothing leaves the process.
    elif on_loop:
        _background.start(_send_in_turn(layer, event))
    else:
        _background.run(_send_by_layer(layer, event))


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _send_in_memory(layer: InMemoryChannelLayer, event: dict[str, Any]) -> None:
    """Needs no event loop and waits for none: the hubs have the message when this returns."""
    group = names.group_name(event["channel"])
    if group in layer.groups:
        layer.group_send_nowait(group, event)
    if EVERYWHERE in layer.groups and conf.PATTERN_SUBSCRIPTIONS:
        layer.group_send_nowait(EVERYWHERE, messages.for_patterns(event))
    published.add(len(event["messages"]))


async def _send_by_layer(layer: Any, event: dict[str, Any], turn: AbstractAsyncContextManager[Any] = _AT_ONCE) -> None:
    """Hand a message to a layer of another project, within :data:`LAYER_TIMEOUT`.

    :param turn: what keeps the order of messages whose publishers do not wait; waiting for it is part of that time.
    :raises LayerUnavailable: the layer did not take it. It may have been sent if time ran out.
    """

    async def send(group: str, event: dict[str, Any]) -> None:
        async with turn:
            await layer.group_send(group, event)

    channel = event["channel"]
    error = await _within_limit(send(names.group_name(channel), event))
    if error is not None:
        logger.error("Publishing to %s failed: %r", names.quoted(channel), error)
        if isinstance(error, TimeoutError):
            raise LayerUnavailable(
                f"The channel layer did not answer in {LAYER_TIMEOUT:g} s; the message may have been sent."
            )
        raise LayerUnavailable("The channel layer cannot be reached; nothing was sent. Try again later.") from error
    published.add(len(event["messages"]))
    if conf.PATTERN_SUBSCRIPTIONS:
        error = await _within_limit(send(EVERYWHERE, messages.for_patterns(event)))
        if error is not None:
            # Not the publisher's error: a publisher that tried again would send the message twice.
            logger.error("Publishing %s to subscribers of patterns failed: %r", names.quoted(channel), error)


async def _within_limit(sending: Coroutine[Any, Any, None]) -> Exception | None:
    # Not wait_for(), which on Python 3.10 and 3.11 loses a cancellation that comes as the time runs out.
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


async def _send_in_turn(layer: Any, event: dict[str, Any]) -> None:
    with contextlib.suppress(LayerUnavailable):  # logged where it was raised
        await _send_by_layer(layer, event, _background.turn)
