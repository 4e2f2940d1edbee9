"""``publish`` and ``apublish``: send messages to all subscribers of a channel, from any code of the site."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from asgiref.sync import sync_to_async
from django.db import transaction

from eventcast.engine import messages, names, presence, sending
from eventcast.engine.hub import hubs, running_loop
from eventcast.exceptions import EventcastError


class RemotePublisher(Protocol):
    """Sends messages to the server without the channel layer, from a process that does not serve."""

    def send(self, events: Sequence[dict[str, Any]], *, on_loop: bool) -> int | None:
        """Send messages in order; returns how many subscribers the last one has, if known.

        :param events: made by :func:`eventcast.engine.messages.to_layer`.
        :param on_loop: whether this is the thread of a running event loop, which must not wait.
        """

    async def asend(self, events: Sequence[dict[str, Any]]) -> int | None:
        """The same, to be awaited."""


class Hooks:
    """Hooks that ``eventcast.elsewhere`` sets, because the engine does not know the site."""

    remote_publisher: Callable[[], RemotePublisher | None] | None = None
    """Returns how a process without subscribers sends; None for the channel layer."""
    mount: Callable[[], str] | None = None
    """Returns the path to which names without a leading slash are relative, with its slashes."""


hooks = Hooks()


def publish(
    channel: str,
    data: Any,
    *,
    event: str = "",
    on_commit: bool = False,
    using: str | None = None,
    fail_silently: bool = False,
) -> int | None:
    """Send a message to all subscribers of ``channel``, from any thread of any process of the site.

    In a process that serves, and with a channel layer that spans processes, the message goes through the layer. In
    another process it goes to the server of ``EVENTCAST["URL"]`` by HTTP. Without that setting the message reaches no
    subscriber: the log has one warning, and ``None`` is returned.

    In a thread without a running event loop, this function waits while the channel's subscribers have to catch up, for
    at most five seconds. In a running event loop it cannot wait: many calls without an ``await`` lose the messages
    beyond 16 MiB per channel, and close subscribers that exceed their bound for a second. Use :func:`apublish` there.
    Lost messages are counted as ``lost`` of the channel.

    :param channel: an absolute path, not percent-encoded, such as ``"/live/orders/42"``, with the mount's prefix.
        Without a leading slash, as ``"orders/42"``, it is relative to the mount of ``urls.py``.
    :param data: ``str`` is sent as text, ``bytes`` as binary, anything else as compact JSON (Django's encoder).
    :param event: the name of the event, such as ``"paid"``, for Server-Sent Events and lines of JSON. Plain WebSocket
        messages do not have it.
    :param on_commit: send after the database transaction commits; nothing is sent if it is rolled back. ``data`` is
        encoded now. Without a transaction the message is sent immediately. An ``async def`` has no transaction, unless
        ``DJANGO_ALLOW_ASYNC_UNSAFE`` is set; :func:`apublish` uses that of the calling synchronous code.
    :param using: the database alias of that transaction; default: the default database.
    :param fail_silently: return ``None`` when the message cannot be delivered, and log the reason. Invalid arguments
        raise an exception nevertheless.
    :returns: how many subscribers the channel has in all processes, if the channel layer counts them or the server
        answered. In a running event loop, which cannot wait for the others, and in a process that does not serve: only
        those of this process. None with ``on_commit``, without a server, and in a running event loop if HTTP is used.
    :raises InvalidChannel: ``channel`` is not a path, or too long (``ChannelTooLong``).
    :raises InvalidMessage: ``data`` has no JSON form or is text that UTF-8 cannot encode; ``InvalidEventName``:
        ``event`` has a line break or is over 128 bytes.
    :raises MessageTooLarge: the message is over ``MAX_MESSAGE_SIZE``.
    :raises LayerUnavailable: the channel layer did not take the message. With ``on_commit``, and in a running event
        loop with a layer other than the in-memory one, this is logged instead.
    :raises Refused, ServerUnreachable: the same for the server of ``EVENTCAST["URL"]``.
    """
    return _publish([_event(channel, data, event)], on_commit, using, fail_silently, count=True)


def publish_many(
    pairs: Iterable[tuple[str, Any]],
    *,
    event: str = "",
    on_commit: bool = False,
    using: str | None = None,
    fail_silently: bool = False,
) -> int | None:
    """Send several messages in order: ``publish_many([("/orders/42", "paid"), ("/orders/43", "sent")])``.

    All messages are checked before the first is sent. If sending one fails, those before it are sent.

    :param pairs: channels and their messages.
    :returns: the number of messages, or None as :func:`publish`. The other parameters and errors are the same.
    :raises TypeError: a message has no channel.
    """
    events = _events(pairs, event)
    return None if _publish(events, on_commit, using, fail_silently, count=False) is None else len(events)


async def apublish(
    channel: str,
    data: Any,
    *,
    event: str = "",
    on_commit: bool = False,
    using: str | None = None,
    fail_silently: bool = False,
) -> int | None:
    """:func:`publish` for asynchronous code. Safe on any event loop of the process.

    This function waits while the channel's subscribers have to catch up, so many calls lose no message for subscribers
    that read. It returns the count of all processes.
    """
    return await _apublish([_event(channel, data, event)], on_commit, using, fail_silently)


async def apublish_many(
    pairs: Iterable[tuple[str, Any]],
    *,
    event: str = "",
    on_commit: bool = False,
    using: str | None = None,
    fail_silently: bool = False,
) -> int | None:
    """:func:`publish_many` for asynchronous code, with the differences of :func:`apublish`."""
    events = _events(pairs, event)
    return None if await _apublish(events, on_commit, using, fail_silently) is None else len(events)


def _publish(
    events: Sequence[dict[str, Any]], on_commit: bool, using: str | None, fail_silently: bool, *, count: bool
) -> int | None:
    if not on_commit:
        return _send(events, fail_silently, count=count)
    if running_loop() is None or transaction.get_connection(using).in_atomic_block:
        _after_commit(events, using, fail_silently)
    else:
        # Outside a transaction Django's on_commit() uses the database, which asynchronous code must not.
        _send(events, fail_silently=True)
    return None


async def _apublish(
    events: Sequence[dict[str, Any]], on_commit: bool, using: str | None, fail_silently: bool
) -> int | None:
    if on_commit:
        await sync_to_async(_after_commit)(events, using, fail_silently)
        return None
    try:
        if (remote := _remote_publisher()) is not None:
            return await remote.asend(events)
        found = 0
        for event in events:
            found = (await sending.asend(event)).subscribers
        return found
    except EventcastError:
        if not fail_silently:
            raise
        return None


def whole_name(channel: str) -> str:
    """The full name of a channel. A name without a leading slash is relative to the mount.

    :raises InvalidChannel: it cannot be a channel's name.
    """
    if hooks.mount is not None and isinstance(channel, str) and channel and not channel.startswith("/"):
        channel = hooks.mount() + channel
    return names.check_channel(channel)


def _event(channel: str, data: Any, event_name: str) -> dict[str, Any]:
    channel = whole_name(channel)
    checked = messages.check_data(messages.to_data(data))
    return messages.to_layer(channel, [checked], messages.check_event_name(event_name))


def _events(pairs: Iterable[tuple[str, Any]], event_name: str) -> list[dict[str, Any]]:
    return [_event(channel, data, event_name) for channel, data in messages.pairs(pairs)]


def _after_commit(events: Sequence[dict[str, Any]], using: str | None, fail_silently: bool) -> None:
    def send() -> None:  # no partial: Django logs the __qualname__ of a callback that failed
        _send(events, fail_silently)

    # robust: if the channel layer is down, the callbacks of other code still have to run.
    transaction.on_commit(send, using=using, robust=True)


def _remote_publisher() -> RemotePublisher | None:
    return None if hooks.remote_publisher is None or sending.captures or hubs() else hooks.remote_publisher()


def _send(events: Sequence[dict[str, Any]], fail_silently: bool, *, count: bool = False) -> int | None:
    others = 0
    try:
        if (remote := _remote_publisher()) is not None:
            return remote.send(events, on_loop=running_loop() is not None)
        for event in events:
            others = sending.send(event, count=count)
    except EventcastError:
        if not fail_silently:
            raise
        return None  # The code that raised it has logged it.
    return others + presence.subscriber_count(events[-1]["channel"]) if events else 0
