"""Functions that are called when a service falls silent, and when it is back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.exceptions import ImproperlyConfigured

from eventcast.client import channel_url, pattern_url
from eventcast.client.envelopes import decode_frame
from eventcast.client.tasks import until_one_ends
from eventcast.client.watching import LIMIT, Heartbeat, Watches
from eventcast.engine.names import printable
from eventcast.exceptions import UndecodableMessage
from eventcast.listeners.alarms import Alarms
from eventcast.listeners.calls import Arguments
from eventcast.listeners.registry import (
    SLOW_AFTER,
    Function,
    Registration,
    check_signature,
    full_name,
    refuse_unknown,
    registry,
)
from eventcast.listeners.routes import Route

if TYPE_CHECKING:
    from eventcast.listeners.running import Runner
    from eventcast.listeners.sources import Server

TIMEOUT = 30.0
"""Seconds of silence until a function is called, by default: six beats of ``eventcast beat``."""

logger = logging.getLogger("eventcast.listen")


@dataclass(frozen=True, kw_only=True)
class HeartbeatListener(Registration):
    """A function that is called with a :class:`Heartbeat`, and with what its path's converters make of the channel."""

    timeout: float = TIMEOUT
    """Seconds without a message that make a service silent."""
    route: Route = field(init=False, repr=False, compare=False)
    """What its path means."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "route", Route(self.path))
        timeout = self.timeout
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < float("inf"):
            raise ImproperlyConfigured(f"{self.name}: timeout is a number of seconds above 0, not {timeout!r}.")
        check_signature(self, "heartbeat", self.route)

    @property
    def options(self) -> dict[str, Any]:
        return {"timeout": self.timeout} | super().options

    async def source(self, server: Server, runner: Runner) -> None:
        from eventcast.client.watchdog import watch  # these need websockets, which registering does not
        from eventcast.listeners.sources import Connection

        alarms = Alarms(self, runner)
        watches = Watches(self.timeout, [self.path] if self.route.pattern is None else [])
        watching = watch(
            channel_url(server.url, self.path)
            if self.route.pattern is None
            else pattern_url(server.url, self.route.pattern),
            watches,
            alarms.tell,
            channel_of=_Channels(self, watches, runner).of,
            headers=server.headers,
            on_state=Connection(self.name, self.path).take,
        )
        await until_one_ends(watching, alarms.supply())

    def arguments(self, heartbeat: Heartbeat) -> Arguments | None:
        """What the function is called with; None if the converters say that the channel is not one of its own."""
        kwargs = self.route.match(heartbeat.channel)
        return None if kwargs is None else ((heartbeat,), kwargs)


class _Channels:
    """Tells whose beat a message is, for those that are to be watched."""

    def __init__(self, listener: HeartbeatListener, watches: Watches, runner: Runner) -> None:
        self._listener, self._watches, self._runner = listener, watches, runner
        self._said = False

    def of(self, frame: str | bytes) -> str | None:
        """The channel of a frame; None if it is not to be watched."""
        listener = self._listener
        if listener.route.pattern is None:
            return listener.path
        try:
            channel, _ = decode_frame(frame)
        except UndecodableMessage as error:
            self._runner.refuse(error)
            return None
        if channel in self._watches:
            return channel
        if not listener.route.has(channel):
            return None
        if len(self._watches) < LIMIT:
            return channel
        if not self._said:
            self._said = True
            logger.error(
                "%s watches %d channels, and no more: %s and others are left out.",
                listener.name,
                LIMIT,
                printable(channel),
            )
        return None


def heartbeat(
    path: str,
    *,
    timeout: float = TIMEOUT,
    name: str | None = None,
    concurrency: int = 1,
    slow_after: float = SLOW_AFTER,
    **unknown: NoReturn,
) -> Callable[[Function], Function]:
    """Have ``manage.py eventcast listen`` call a function, plain or ``async def``, when a channel falls silent and when
    it is back, once each::

        @heartbeat("/heartbeat/<str:host>", timeout=30)
        def alarm(heartbeat, host):
            heartbeat.alive, heartbeat.silence, heartbeat.channel

    Any message is a beat. A single channel is watched from the beginning: a service that does not come up is silent,
    too. With converters in the path, each channel is watched by itself from its first beat on, 10 000 at most. While
    eventcast itself cannot be reached nothing is judged, and then the timeout begins anew; but ``heartbeat.silence``
    are the seconds since the last beat that was heard, that time among them. A call that raises is made again up to
    three times within a minute, as long as what it tells is so.

    :param path: the channel, or with converters many of them, as of ``listener``.
    :param timeout: seconds of silence.
    :param name: its name within the app; default: the function's.
    :param concurrency: calls that are made at the same time. Only one at a time keeps their order.
    :param slow_after: seconds after which a call is logged as slow, with the place where it is.
    :raises ImproperlyConfigured: one of them means nothing, or the name is taken.
    :raises TypeError: there is no such option.
    """
    refuse_unknown(heartbeat, unknown)

    def register(function: Function) -> Function:
        registry.add(
            HeartbeatListener(
                name=full_name(function, name),
                path=path,
                function=function,
                timeout=timeout,
                concurrency=concurrency,
                slow_after=slow_after,
            )
        )
        return function

    if callable(path):
        raise ImproperlyConfigured("A heartbeat has a path: @heartbeat('/heartbeat/logserver', timeout=30).")
    return register
