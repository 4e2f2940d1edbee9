"""System checks of the three edits that add eventcast to a site: settings.py, urls.py and asgi.py agree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.checks import CheckMessage, Warning, register
from django.core.handlers.asgi import ASGIHandler
from django.urls import URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern
from django.utils.module_loading import import_string

from eventcast import urls
from eventcast.routing import EventcastRouter
from eventcast.websocket.consumer import EventcastConsumer

UNKNOWN = "?"
"""In place of a mount: it is a pattern, or behind an ASGI application of another kind."""

LANGUAGE = "{language}/"
"""In place of the prefix of ``i18n_patterns()``."""

_LITERAL = re.compile(r"[^<>()\[\]\\^$*+?|]*")


@register("eventcast")
def check_edits(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Each of the three edits is there, and all mean the same paths. A project without ``ROOT_URLCONF`` serves none."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    found: list[CheckMessage] = []
    if "daphne" not in settings.INSTALLED_APPS:
        text = "'daphne' is not in INSTALLED_APPS: manage.py runserver opens no WebSocket."
        hint = "Put 'daphne' above 'django.contrib.staticfiles'. Without runserver, silence this check."
        found.append(Warning(text, hint=hint, id="eventcast.W007"))
    by_http = list(_mounts_of_urls([get_resolver()], ""))
    if not by_http:
        text = "No path of ROOT_URLCONF leads to eventcast: nothing can be published by HTTP."
        hint = "Add path('live/', include('eventcast.urls')) to urls.py."
        found.append(Warning(text, hint=hint, id="eventcast.W008"))
    name: Any = getattr(settings, "ASGI_APPLICATION", None)
    try:
        with _logging_untouched():
            by_websocket = list(_mounts_of_application(import_string(name), "/"))
    except Exception as error:  # Whatever the site's file raises.
        reason = str(error).removesuffix(".")
        problem = f"is {name!r}, which cannot be imported: {reason}" if name else "is not set"
        hint = "ASGI_APPLICATION = 'mysite.asgi.application': runserver and 'eventcast serve' run it."
        return [*found, Warning(f"ASGI_APPLICATION {problem}.", hint=hint, id="eventcast.W003")]
    if by_http and not by_websocket:
        text = f"{name} has no place for WebSockets to channels."
        prefix = next((each for each in by_http if each != UNKNOWN), "/live/")
        hint = f"In asgi.py: application = EventcastRouter(django_application, prefix={_with_slash(prefix)!r})"
        return [*found, Warning(text, hint=hint, id="eventcast.W009")]
    if UNKNOWN in [*by_http, *by_websocket] or not by_http or set(by_http) == set(by_websocket):
        return found
    text = f"Channels are below {_list(by_http)} in urls.py, and below {_list(by_websocket)} in asgi.py."
    if any(LANGUAGE in each for each in by_http):
        hint = "Move include('eventcast.urls') out of i18n_patterns(): a channel has one name in all languages."
    else:
        path = by_websocket[0].removeprefix(_with_script_name("/"))
        hint = f"Write path({path!r}, include('eventcast.urls')) in urls.py."
        if by_http[0] == _with_slash(by_http[0]):
            hint = f"Write EventcastRouter(..., prefix={by_http[0]!r}) in asgi.py. Or: {hint}"
    return [*found, Warning(text, hint=hint, id="eventcast.W011")]


@contextmanager
def _logging_untouched() -> Iterator[None]:
    """An ``asgi.py`` calls ``django.setup()``. The second one would configure the logging anew, which disables the
    loggers that exist by then, unless the site's ``LOGGING`` says otherwise."""
    configure, settings.LOGGING_CONFIG = settings.LOGGING_CONFIG, None
    try:
        yield
    finally:
        settings.LOGGING_CONFIG = configure


def _mounts_of_urls(patterns: Sequence[Any], prefix: str) -> Iterator[str]:
    """The paths at which ``urls.py`` includes eventcast's, with the script name, as in ``EventcastRouter``."""
    for each in patterns:
        if isinstance(each, URLResolver):
            localized = isinstance(each.pattern, LocalePrefixPattern)
            here = _join(prefix, LANGUAGE if localized else each.pattern)
            if each.urlconf_module is urls:
                yield _with_script_name(here)
            else:
                yield from _mounts_of_urls(each.url_patterns, here)


def _mounts_of_application(application: Any, prefix: str) -> Iterator[str]:
    """The paths at which an ASGI application has eventcast's WebSockets, with the script name."""
    if isinstance(application, EventcastRouter):
        yield application.prefix.decode()
    elif isinstance(application, ProtocolTypeRouter):
        if "websocket" in application.application_mapping:
            yield from _mounts_of_application(application.application_mapping["websocket"], prefix)
    elif isinstance(application, URLRouter):
        for route in application.routes:
            yield from _mounts_of_application(route.callback, _join(prefix, route.pattern))
    elif isinstance(kind := getattr(application, "consumer_class", None), type):
        if issubclass(kind, EventcastConsumer):
            yield _with_script_name(prefix)
    else:
        # Channels' and Django's own wrappers, and those of Starlette and Sentry.
        wrapped = (getattr(application, name, None) for name in ("inner", "application", "app"))
        inner = next((each for each in wrapped if each is not None), None)
        if inner is not None:
            yield from _mounts_of_application(inner, prefix)
        elif not isinstance(application, ASGIHandler):
            yield UNKNOWN


def _join(prefix: str, pattern: Any) -> str:
    """The path of a route below another, if both are literal."""
    route = str(pattern).removeprefix("^")
    return f"{prefix}{route}" if prefix != UNKNOWN and _LITERAL.fullmatch(route) else UNKNOWN


def _with_script_name(mount: str) -> str:
    name = getattr(settings, "FORCE_SCRIPT_NAME", None) or ""
    return mount if mount == UNKNOWN else f"{name.rstrip('/')}{mount}"


def _with_slash(mount: str) -> str:
    """As the prefix of ``EventcastRouter`` has to end."""
    return f"{mount.rstrip('/')}/"


def _list(mounts: list[str]) -> str:
    return " and ".join(map(repr, mounts))
