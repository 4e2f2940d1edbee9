"""What is registered to be run by ``manage.py eventcast listen``, and the decorator that registers it."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from asgiref.sync import iscoroutinefunction
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from eventcast.listeners.calls import Arguments, decode_json
from eventcast.listeners.routes import Route

if TYPE_CHECKING:
    from eventcast.listeners.running import Runner
    from eventcast.listeners.sources import Server

Function = TypeVar("Function", bound=Callable[..., Any])

QUEUE = 10_000
"""Calls that wait for one function, by default."""

SLOW_AFTER = 30.0
"""Seconds after which a call is logged as slow, by default."""


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A function to be called, and how. A subclass for each kind of source that its calls come from.

    :raises ImproperlyConfigured: one of the values means nothing.
    """

    name: str
    """Unique: the app's label, a dot, and the function's name."""
    path: str
    """Where its calls come from, as its author wrote it."""
    function: Callable[..., Any]
    queue: int = QUEUE
    """Calls that may wait for their turn."""
    concurrency: int = 1
    """Calls that are made at the same time. Only one at a time keeps their order."""
    slow_after: float = SLOW_AFTER
    """Seconds after which a call is logged as slow, with the place where it is."""

    def __post_init__(self) -> None:
        for name in ("queue", "concurrency"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ImproperlyConfigured(f"{self.name}: {name} is a whole number from 1 on, not {value!r}.")
        if isinstance(self.slow_after, bool) or not isinstance(self.slow_after, (int, float)) or self.slow_after <= 0:
            raise ImproperlyConfigured(f"{self.name}: slow_after is a number of seconds, not {self.slow_after!r}.")
        if inspect.isgeneratorfunction(self.function) or inspect.isasyncgenfunction(self.function):
            raise ImproperlyConfigured(f"{self.name} yields. It would never run: have it return.")

    @property
    def is_async(self) -> bool:
        """Whether its function is an ``async def``."""
        return iscoroutinefunction(self.function)

    @property
    def options(self) -> dict[str, Any]:
        """How it is run, for people to see."""
        return {"queue": self.queue, "concurrency": self.concurrency, "slow_after": self.slow_after}

    async def source(self, server: Server, runner: Runner) -> None:
        """Put calls into the runner, until cancelled.

        :raises EventcastError: there are no more to come, and why.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Listener(Registration):
    """A function that is called with each message, and with what its path's converters make of the channel's name."""

    raw: bool = False
    """Whether it gets messages as they were published, ``str`` or ``bytes``; else what their JSON says."""
    route: Route = field(init=False, repr=False, compare=False)
    """What its path means."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "route", Route(self.path))
        if not isinstance(self.raw, bool):
            raise ImproperlyConfigured(f"{self.name}: raw is True or False, not {self.raw!r}.")
        check_signature(self, "message", self.route)

    @property
    def options(self) -> dict[str, Any]:
        return super().options | {"raw": self.raw}

    def arguments(self, channel: str, data: str | bytes) -> Arguments | None:
        """What the function is called with for a message; None if the channel is not one of its own.

        :raises UndecodableMessage: the message is no JSON.
        """
        kwargs = self.route.match(channel)
        if kwargs is None:
            return None
        return (data if self.raw else decode_json(data, channel),), kwargs

    async def source(self, server: Server, runner: Runner) -> None:
        from eventcast.listeners import sources  # here, so that registering does without websockets

        await sources.listen(self, server, runner)


def check_signature(registration: Registration, first: str, route: Route) -> None:
    """Check that a function takes what it will be called with: one argument, and what its route cuts out.

    :param first: what the argument is, for the error.
    :raises ImproperlyConfigured: it does not.
    """
    try:
        inspect.signature(registration.function).bind(None, **dict.fromkeys(route.parameters))
    except TypeError as error:
        called = ", ".join([first, *(f"{name}=…" for name in route.parameters)])
        raise ImproperlyConfigured(
            f"{registration.name} cannot be called as its path {registration.path!r} has it, with ({called}): {error}."
        ) from error


class Registry:
    """All registrations, by name."""

    def __init__(self) -> None:
        self._registrations: dict[str, Registration] = {}

    def __iter__(self) -> Iterator[Registration]:
        return iter(self._registrations.values())

    def __len__(self) -> int:
        return len(self._registrations)

    def add(self, registration: Registration) -> None:
        """Register it.

        :raises ImproperlyConfigured: its name is taken.
        """
        taken = self._registrations.get(registration.name)
        if taken is not None:
            raise ImproperlyConfigured(
                f"There are two listeners {registration.name}: of {taken.path!r} and of {registration.path!r}. "
                "Name one of them with name=."
            )
        self._registrations[registration.name] = registration

    def discard_unimported(self) -> None:
        """Forget what was registered by modules whose import failed: their next import would register it again."""
        for name, each in list(self._registrations.items()):
            if each.function.__module__ not in sys.modules:
                del self._registrations[name]

    def find(self, name: str) -> Registration:
        """The one of that name; the function's name alone will do where only one has it.

        :raises LookupError: there is none, or there are several.
        """
        if name in self._registrations:
            return self._registrations[name]
        found = [each for each in self._registrations if each.rpartition(".")[2] == name]
        if len(found) != 1:
            known = ", ".join(sorted(found or self._registrations))
            raise LookupError(f"{name!r} may be one of {known}." if found else f"No listener {name!r}, only {known}.")
        return self._registrations[found[0]]


registry = Registry()


def listener(
    path: str,
    *,
    name: str | None = None,
    raw: bool = False,
    queue: int = QUEUE,
    concurrency: int = 1,
    slow_after: float = SLOW_AFTER,
    **unknown: NoReturn,
) -> Callable[[Function], Function]:
    """Have ``manage.py eventcast listen`` call a function, plain or ``async def``, with each message of a channel::

        @listener("/eventcast/user/<str:key>")
        def mail_the_company(order, key): ...

    :param path: the channel, or with converters many of them: a route as of Django's ``path()``, with its leading
        slash. What the converters make of a channel's name is passed on by keyword.
    :param name: its name within the app; default: the function's.
    :param raw: whether to pass on messages as they were published, ``str`` or ``bytes``; if not, what their JSON says.
    :param queue: messages that may wait for their turn; they may take 64 MiB together.
    :param concurrency: calls that are made at the same time. Only one at a time keeps the order of messages.
    :param slow_after: seconds after which a call is logged as slow, with the place where it is.
    :raises ImproperlyConfigured: one of them means nothing, or the name is taken.
    :raises TypeError: there is no such option.
    """
    refuse_unknown(listener, unknown)

    def register(function: Function) -> Function:
        registry.add(
            Listener(
                name=full_name(function, name),
                path=path,
                function=function,
                raw=raw,
                queue=queue,
                concurrency=concurrency,
                slow_after=slow_after,
            )
        )
        return function

    if callable(path):
        raise ImproperlyConfigured("A listener has a path: @listener('/orders/<int:id>').")
    return register


def refuse_unknown(decorator: Callable[..., Any], unknown: Mapping[str, object]) -> None:
    """Refuse options that a decorator has not, and say which it has.

    :raises TypeError: there are any.
    """
    if unknown:
        parameters = inspect.signature(decorator).parameters.values()
        known = ", ".join(each.name for each in parameters if each.kind is each.KEYWORD_ONLY)
        raise TypeError(f"@{decorator.__name__} has no option {', '.join(unknown)}. Its options are: {known}.")


def full_name(function: Callable[..., Any], name: str | None = None) -> str:
    """The name to register a function by: the label of its app, or its module if it is of none, and its own.

    :param name: its own name; default: the function's.
    :raises ImproperlyConfigured: it is no name.
    """
    own = getattr(function, "__name__", "") if name is None else name
    if not isinstance(own, str) or not re.fullmatch(r"[\w-]+", own):
        raise ImproperlyConfigured(f"A listener's name is made of letters, digits, - and _; not {own!r:.100}.")
    module = getattr(function, "__module__", "")
    app = apps.get_containing_app_config(module)
    return f"{module if app is None else app.label}.{own}"
