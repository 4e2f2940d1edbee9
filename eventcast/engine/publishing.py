"""``publish`` and ``apublish``: from anyone in this process to everyone who listens to a channel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction

from eventcast.conf import conf
from eventcast.engine import hub, messages, names, presence
from eventcast.engine.figures import Tally
from eventcast.exceptions import EventcastError, LayerUnavailable
from eventcast.layers import InMemoryChannelLayer, get_layer

logger = logging.getLogger("eventcast.publish")

published = Tally()
"""Messages handed to the channel layer by this process."""

EVERYWHERE = names.group_name(names.ALL)
"""The group of those processes that somebody listens in by a pattern."""


def publish(channel: str, data: Any, *, on_commit: bool = False, using: str | None = None) -> int | None:
    """Send a message to everyone who listens to ``channel`` now. Safe in any thread of the process.

    :param channel: an absolute path, not percent-encoded, such as ``"/orders/42"``; a mount's prefix belongs to it.
    :param data: ``str`` is sent as text, ``bytes`` as binary, anything else as compact JSON (Django's encoder).
    :param on_commit: wait for the database transaction; nothing is sent if it is rolled back. ``data`` is encoded now.
    :param using: the database alias of that transaction; default: the default database.
    :returns: how many subscribers this process has on the channel; None with ``on_commit``.
    :raises InvalidChannel: ``channel`` is not an absolute path, or too long (``ChannelTooLong``).
    :raises InvalidMessage: ``data`` has no JSON form or is text that UTF-8 cannot encode.
    :raises MessageTooLarge: it is over ``MAX_MESSAGE_SIZE``.
    :raises LayerUnavailable: the channel layer cannot be reached; with ``on_commit`` this is logged instead.
    :raises EventcastError: called on the thread of a running event loop with a channel layer other than
        :class:`eventcast.layers.InMemoryChannelLayer`, which would have to be awaited: use :func:`apublish` there.
    """
    event = _event(channel, [messages.to_data(data)])
    if on_commit:
        _after_commit(event, using)
        return None
    _send(event)
    return presence.subscriber_count(channel)


async def apublish(channel: str, data: Any, *, on_commit: bool = False, using: str | None = None) -> int | None:
    """The same as :func:`publish`, to be awaited. Safe on any event loop of the process."""
    if on_commit:
        await sync_to_async(_after_commit)(_event(channel, [messages.to_data(data)]), using)
        return None
    return await apublish_many(channel, [messages.to_data(data)])


async def apublish_many(channel: str, data: Sequence[str | bytes]) -> int:
    """Publish several messages to one channel, in order: all of them, or none if one is refused.

    :param data: text (``str``) or binary (``bytes``) messages.
    :returns: how many subscribers this process has on the channel.
    :raises InvalidChannel, InvalidMessage, MessageTooLarge, LayerUnavailable: as :func:`publish`.
    """
    event = _event(channel, data)
    try:
        await _asend(get_layer(), event)
    except Exception as error:
        raise _unavailable(channel, error) from error
    for each in hub.hubs():  # a subscriber's event loop may be another than the publisher's
        await each.make_room(channel)
    return presence.subscriber_count(channel)


def _event(channel: str, data: Sequence[str | bytes]) -> dict[str, Any]:
    names.check_channel(channel)
    return messages.to_layer(channel, [messages.check_data(message) for message in data])


def _after_commit(event: dict[str, Any], using: str | None) -> None:
    def send() -> None:  # not a partial: Django wants a __qualname__ when it logs a failure
        _send(event)

    # robust: a channel layer that is down must not keep the callbacks of others from running.
    transaction.on_commit(send, using=using, robust=True)


def _send(event: dict[str, Any]) -> None:
    channel, layer = event["channel"], get_layer()
    if isinstance(layer, InMemoryChannelLayer):
        # Needs no event loop and waits for none, so it cannot hang when the loop stops (SIGTERM during a sync view).
        layer.group_send_nowait(names.group_name(channel), event)
        if conf.PATTERN_SUBSCRIPTIONS:
            layer.group_send_nowait(EVERYWHERE, messages.for_patterns(event))
        published.add(len(event["messages"]))
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise EventcastError("publish() cannot wait on the thread of a running event loop: await apublish() there.")
    try:
        async_to_sync(_asend)(layer, event)
    except Exception as error:
        raise _unavailable(channel, error) from error


async def _asend(layer: Any, event: dict[str, Any]) -> None:
    await layer.group_send(names.group_name(event["channel"]), event)
    if conf.PATTERN_SUBSCRIPTIONS:
        await layer.group_send(EVERYWHERE, messages.for_patterns(event))
    published.add(len(event["messages"]))


def _unavailable(channel: str, error: Exception) -> LayerUnavailable:
    logger.error("Publishing to %s failed: %r", names.quoted(channel), error)
    return LayerUnavailable("The channel layer cannot be reached; nothing was sent. Try again later.")
