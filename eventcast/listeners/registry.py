"""The functions that ``manage.py eventcast listen`` calls, and the decorators that register them."""

from __future__ import annotations

import inspect
import json
import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from eventcast.client.watching import TIMEOUT, Heartbeat
from eventcast.engine.names import printable
from eventcast.exceptions import UndecodableMessage
from eventcast.routes import Route

Function = TypeVar("Function", bound=Callable[..., Any])

QUEUE = 10_000
"""Calls that may wait for one function, by default."""

SLOW_AFTER = 30.0
"""Seconds after which a call is logged as slow, by default."""


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A function, and how it is called: with each message, or with the silence and the return of a service.

    It also gets the values that its route cuts out of the channel's name. The options are those of :func:`listener` and
    :func:`heartbeat`.

    :raises ImproperlyConfigured: an option has a wrong value.
    """

    name: str
    """The app's label, a dot, and the function's name. Unique."""
    path: str
    function: Callable[..., Any]
    queue: int = QUEUE
    concurrency: int = 1
    slow_after: float = SLOW_AFTER
    raw: bool = False
    watches: bool = False
    """Whether messages are beats, and the function gets a :class:`Heartbeat`."""
    timeout: float = TIMEOUT
    route: Route = field(init=False, repr=False, compare=False)
    """The parsed path."""

    def __post_init__(self) -> None:
        for name in ("queue", "concurrency"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ImproperlyConfigured(f"{self.name}: {name} is a whole number above 0, not {value!r}.")
        for name, limit in (("slow_after", math.inf), ("timeout", sys.float_info.max)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= limit:
                raise ImproperlyConfigured(f"{self.name}: {name} is a number of seconds above 0, not {value!r}.")
        if not isinstance(self.raw, bool):
            raise ImproperlyConfigured(f"{self.name}: raw is True or False, not {self.raw!r}.")
        if inspect.isgeneratorfunction(self.function) or inspect.isasyncgenfunction(self.function):
            raise ImproperlyConfigured(f"{self.name} is a generator: a call would not run it. Use return, not yield.")
        object.__setattr__(self, "route", Route(self.path))

    @property
    def is_async(self) -> bool:
        """Whether the function is an ``async def``."""
        return iscoroutinefunction(self.function)

    @property
    def options(self) -> dict[str, Any]:
        """The options, as ``eventcast listen --list`` shows them."""
        own = {"timeout": self.timeout} if self.watches else {"raw": self.raw}
        return {"queue": self.queue, "concurrency": self.concurrency, "slow_after": self.slow_after} | own

    def arguments(self, channel: str, data: str | bytes | Heartbeat) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The positional and the keyword arguments of a call; None if the route's converters do not match the channel.

        :raises UndecodableMessage: the message is not JSON.
        """
        kwargs = self.route.match(channel)
        if kwargs is None:
            return None
        return (data if self.raw or isinstance(data, Heartbeat) else _decode_json(data, channel),), kwargs


def _decode_json(data: str | bytes, channel: str) -> Any:
    try:
        return json.loads(data if isinstance(data, str) else data.decode())
    except (ValueError, RecursionError):  # brackets may be nested deeper than Python can read
        unit = "characters" if isinstance(data, str) else "bytes"
        raise UndecodableMessage(
            f"A message of {len(data)} {unit} on {printable(channel)} is not JSON. Publish JSON, or use raw=True."
        ) from None


class Registry(dict[str, Registration]):
    """All registrations, by name."""

    def add(self, registration: Registration) -> None:
        """Register a function.

        :raises ImproperlyConfigured: the name is taken.
        """
        if (taken := self.get(registration.name)) is not None:
            raise ImproperlyConfigured(
                f"There are two listeners {registration.name}: of {taken.path!r} and of {registration.path!r}. "
                "Name one of them with name=."
            )
        self[registration.name] = registration

    def discard_unimported(self) -> None:
        """Remove the functions of modules that failed to import: the next import registers them again."""
        for name, each in list(self.items()):
            if each.function.__module__ not in sys.modules:
                del self[name]

    def find(self, name: str) -> Registration:
        """The registration of that name. The function's name is enough if only one app has it.

        :raises LookupError: there is none, or there are several.
        """
        found = [each for each in self if name in (each, each.rpartition(".")[2])]
        if len(found) != 1:
            known = ", ".join(sorted(found or self))
            raise LookupError(f"{name!r} may be one of {known}." if found else f"No listener {name!r}, only {known}.")
        return self[found[0]]


registry = Registry()


def listener(
    path: str,
    *,
    name: str | None = None,
    raw: bool = False,
    queue: int = QUEUE,
    concurrency: int = 1,
    slow_after: float = SLOW_AFTER,
) -> Callable[[Function], Function]:
    """Have ``manage.py eventcast listen`` call a function, plain or ``async def``, with each message of a channel::

        @listener("/eventcast/user/<str:key>")
        def mail_the_company(order, key): ...

    :param path: the channel, or a route of many channels: a route of Django's ``path()`` with its leading slash. The
        function gets the converters' values as keyword arguments.
    :param name: the listener's name within the app; default: the function's.
    :param raw: whether the function gets messages as they were published, ``str`` or ``bytes``, and not decoded JSON.
    :param queue: messages that may wait; together they may take 64 MiB.
    :param concurrency: calls that run at the same time. More than one does not keep the order of messages.
    :param slow_after: seconds after which a call is logged as slow, with the line where it is.
    :raises ImproperlyConfigured: an option has a wrong value, or the name is taken.
    """
    options = {"raw": raw, "queue": queue, "concurrency": concurrency, "slow_after": slow_after}
    return _register("@listener('/orders/<int:id>')", path, name, **options)


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
    :param name, concurrency, slow_after: as for ``listener``.
    :raises ImproperlyConfigured: an option has a wrong value, or the name is taken.
    """
    options = {"watches": True, "timeout": timeout, "concurrency": concurrency, "slow_after": slow_after}
    return _register("@heartbeat('/heartbeat/logserver', timeout=30)", path, name, **options)


def _register(example: str, path: str, name: str | None, **options: Any) -> Callable[[Function], Function]:
    """A decorator that registers a function, and returns the function as it is.

    :param example: the right use of the decorator, for the error.
    """
    if callable(path):
        raise ImproperlyConfigured(f"The decorator needs a path: {example}.")

    def decorate(function: Function) -> Function:
        made = Registration(name=_full_name(function, name), path=path, function=function, **options)
        made.route.check_takes(function, "heartbeat" if made.watches else "message", made.name)
        registry.add(made)
        return function

    return decorate


def _full_name(function: Callable[..., Any], name: str | None) -> str:
    """The label of the function's app (the name of its module if it is in no app), a dot, and the listener's name."""
    own = getattr(function, "__name__", "") if name is None else name
    if not isinstance(own, str) or not re.fullmatch(r"[\w-]+", own):
        raise ImproperlyConfigured(f"A listener's name has letters, digits, - and _ only; not {own!r:.100}.")
    module = getattr(function, "__module__", "")
    app = apps.get_containing_app_config(module)
    return f"{module if app is None else app.label}.{own}"
