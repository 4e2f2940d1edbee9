"""The decorator for functions that are called when a service falls silent, and when it is back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from eventcast.client.watching import TIMEOUT, Heartbeat
from eventcast.listeners.calls import Arguments
from eventcast.listeners.registry import SLOW_AFTER, Function, Registration, register


@dataclass(frozen=True, kw_only=True)
class HeartbeatListener(Registration):
    """A function that is called with a :class:`Heartbeat`, and with the values that its route cuts out of the channel's
    name."""

    timeout: float = TIMEOUT
    """Seconds without a message after which a service is silent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_seconds("timeout")
        if self.timeout == math.inf:
            raise ImproperlyConfigured(f"{self.name}: timeout is a number of seconds above 0, not infinite.")
        self._check_signature("heartbeat")

    @property
    def options(self) -> dict[str, Any]:
        return {"timeout": self.timeout} | super().options

    def arguments(self, heartbeat: Heartbeat) -> Arguments | None:
        """The arguments of the call; None if the route's converters do not match the channel."""
        kwargs = self.route.match(heartbeat.channel)
        return None if kwargs is None else ((heartbeat,), kwargs)


def heartbeat(
    path: str,
    *,
    timeout: float = TIMEOUT,
    name: str | None = None,
    concurrency: int = 1,
    slow_after: float = SLOW_AFTER,
) -> Callable[[Function], Function]:
    """Have ``manage.py eventcast listen`` call a function, plain or ``async def``, when a channel falls silent, and
    when it is back, once each::

        @heartbeat("/heartbeat/<str:host>", timeout=30)
        def alarm(heartbeat, host):
            heartbeat.alive, heartbeat.silence, heartbeat.channel

    Any message is a beat. A channel without converters is watched from the beginning: a service that never starts is
    silent, too. With converters, each channel is watched from its first beat on, 10 000 channels at most. While the
    server cannot be reached, no service counts as silent, and then the timeout starts again. ``heartbeat.silence`` is
    the number of seconds since the last beat that arrived, outages of the server included. A call that raises is
    repeated up to three times within a minute, as long as its alarm is still true.

    :param path: the channel, or a route of many channels, as for ``listener``.
    :param timeout: seconds of silence.
    :param name: the listener's name within the app; default: the function's.
    :param concurrency: calls that run at the same time. More than one does not keep the order of alarms.
    :param slow_after: seconds after which a call is logged as slow, with the line where it is.
    :raises ImproperlyConfigured: an option has a wrong value, or the name is taken.
    """
    options = {"timeout": timeout, "concurrency": concurrency, "slow_after": slow_after}
    return register(HeartbeatListener, "@heartbeat('/heartbeat/logserver', timeout=30)", path, name, **options)
