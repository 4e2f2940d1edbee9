"""System checks: what is wrong with the settings, said when the server starts and not when a message is lost."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from channels.layers import InMemoryChannelLayer as StockInMemoryChannelLayer
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from eventcast.client.targets import parse_url
from eventcast.conf import Conf, conf, left_open
from eventcast.layers import InMemoryChannelLayer
from eventcast.listeners import discover
from eventcast.security import origins
from eventcast.security.addresses import proxies
from eventcast.security.authorization import Open
from eventcast.security.authorization.asking import find

SETTINGS = sorted(name for name in vars(Conf) if name.isupper() and name != "CHANNEL_LAYER")
CHOICES: dict[str, tuple[object, ...]] = {
    "SLOW_SUBSCRIBERS": ("close", "drop"),
    "TRANSPORT": ("auto", "asgi"),
    "CHANNEL_PAGE": (True, False),
    "PATTERN_SUBSCRIPTIONS": (True, False),
    "WEBSOCKET_PUBLISH": (True, False),
}

AUTHORIZATION = ("AUTHORIZATION", "KEYS", "SESSIONS", "RULES")
COUNTS = {
    "MAX_INBOUND_BYTES",
    "MAX_INBOUND_FRAMES",
    "MAX_PATTERNS",
    "MAX_SUBSCRIBERS",
    "MAX_SUBSCRIBERS_PER_ADDRESS",
    "MAX_SUBSCRIBERS_PER_CHANNEL",
    "PUBLISH_BURST",
    "PUBLISH_RATE",
}


@register("eventcast")
def check_settings(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """``EVENTCAST``: a dict, of known settings, with values that mean something."""
    configured = getattr(settings, "EVENTCAST", {})
    if not isinstance(configured, dict):
        return [Error("EVENTCAST is not a dict.", hint="EVENTCAST = {'MAX_MESSAGE_SIZE': 65536}", id="eventcast.E001")]
    found: list[CheckMessage] = []
    for name, value in configured.items():
        if name not in SETTINGS:
            found.append(
                Warning(
                    f"EVENTCAST has no setting {name!r}.", hint=f"Known: {', '.join(SETTINGS)}.", id="eventcast.W001"
                )
            )
        elif name in CHOICES:
            if not any(type(value) is type(choice) and value == choice for choice in CHOICES[name]):  # 1 is not True
                choices = " or ".join(map(repr, CHOICES[name]))
                found.append(Error(f"EVENTCAST[{name!r}] is {choices}, not {value!r}.", id="eventcast.E002"))
        elif name == "URL":
            if not _is_url(value):
                found.append(Error(f"EVENTCAST['URL'] is an http or https URL, not {value!r}.", id="eventcast.E002"))
        elif name in AUTHORIZATION:
            pass  # check_authorization() looks at them.
        elif name == "ALLOWED_ORIGINS":
            found += _check_origins(value)
        elif name == "TRUSTED_PROXIES":
            if not _are_proxies(value):
                text = f"EVENTCAST['TRUSTED_PROXIES'] is a list of addresses and networks, not {value!r}."
                hint = "['127.0.0.1', '10.0.0.0/8'], and 'unix' for a proxy that comes by a Unix socket."
                found.append(Error(text, hint=hint, id="eventcast.E002"))
        elif name in COUNTS:
            if not _is_number(value, 0):
                text = f"EVENTCAST[{name!r}] is a whole number, 0 for no limit, not {value!r}."
                found.append(Error(text, id="eventcast.E002"))
        elif not _is_number(value, 1):
            found.append(Error(f"EVENTCAST[{name!r}] is a whole number above 0, not {value!r}.", id="eventcast.E002"))
    return found


def _is_number(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _are_proxies(value: object) -> bool:
    try:
        return isinstance(value, (list, tuple)) and bool(proxies(*value))
    except (ValueError, TypeError, AttributeError):
        return False


def _is_url(value: object) -> bool:
    try:
        return isinstance(value, str) and value.startswith("http") and bool(parse_url(value))
    except ValueError:
        return False


def _check_origins(value: object) -> list[CheckMessage]:
    right = "EVENTCAST = {'ALLOWED_ORIGINS': ['https://app.example', 'https://*.example.com']}"
    if not isinstance(value, (list, tuple, set, frozenset)):
        return [Error(f"EVENTCAST['ALLOWED_ORIGINS'] is a list, not {value!r}.", hint=right, id="eventcast.E010")]
    return [
        Error(f"EVENTCAST['ALLOWED_ORIGINS'] has {entry!r}, which {mistake}.", hint=right, id="eventcast.E011")
        for entry in value
        if (mistake := origins.mistake_in(entry))
    ]


@register("eventcast", deploy=True)
def check_origins_for_deployment(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """``ALLOWED_ORIGINS`` in production: whose pages may use it, and not everybody's."""
    if not isinstance(getattr(settings, "EVENTCAST", {}), dict) or not origins.allowed().any:
        return []
    return [
        Warning(
            "EVENTCAST['ALLOWED_ORIGINS'] has '*': whatever page somebody opens may publish and listen through his "
            "browser, as far as he reaches this server.",
            hint="List the origins of your pages, such as 'https://app.example' or 'https://*.example.com'.",
            id="eventcast.W010",
        )
    ]


@register("eventcast")
def check_authorization(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """``AUTHORIZATION``: a class that can be asked, and whose settings mean something."""
    configured = getattr(settings, "EVENTCAST", {})
    if not isinstance(configured, dict):
        return []
    if problem := left_open(configured):
        hint = "EVENTCAST = {'AUTHORIZATION': 'eventcast.authorization.Keys'} or another. Until then nobody gets in."
        return [Error(f"EVENTCAST: {problem}", hint=hint, id="eventcast.E006")]
    try:
        kind = find(conf.AUTHORIZATION)
    except ImproperlyConfigured as error:
        return [
            Error(
                f"EVENTCAST['AUTHORIZATION']: {error}",
                hint="A dotted path, such as 'eventcast.authorization.Keys' or that of a class of your own.",
                id="eventcast.E004",
            )
        ]
    return [
        Error(problem, hint="See docs/security.md. Until this is right, nobody gets in.", id="eventcast.E005")
        for problem in kind.problems()
    ]


@register("eventcast", deploy=True)
def check_closed(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """With ``check --deploy``: whether anybody at all may listen and publish."""
    if not isinstance(getattr(settings, "EVENTCAST", {}), dict):
        return []
    try:
        if not issubclass(find(conf.AUTHORIZATION), Open):
            return []
    except ImproperlyConfigured:
        return []
    return [
        Warning(
            "Everybody who reaches the server may listen to and publish to every channel.",
            hint="EVENTCAST = {'AUTHORIZATION': 'eventcast.authorization.Keys'} or another, see docs/security.md.",
            id="eventcast.W004",
        )
    ]


@register("eventcast")
def check_application(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """``ASGI_APPLICATION``: what ``runserver`` and ``eventcast serve`` run. Only found, not imported: that is much."""
    path = getattr(settings, "ASGI_APPLICATION", None)
    if _module_exists(path) if path else "daphne" not in settings.INSTALLED_APPS:
        return []
    return [
        Warning(
            f"ASGI_APPLICATION is {path!r}, and there is no such module." if path else "ASGI_APPLICATION is not set.",
            hint="ASGI_APPLICATION = 'mysite.asgi.application': what runserver and 'eventcast serve' run.",
            id="eventcast.W003",
        )
    ]


def _module_exists(path: str) -> bool:
    """Whether there is a module for ``package.module.name``."""
    try:
        return importlib.util.find_spec(path.rpartition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


@register("eventcast")
def check_layer(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """The channel layer: there, and not the stock in-memory one."""
    alias = conf.CHANNEL_LAYER
    backend = getattr(settings, "CHANNEL_LAYERS", {}).get(alias, {}).get("BACKEND")
    if backend is None:
        return []
    try:
        layer = import_string(backend)
    except ImportError as error:
        return [
            Error(
                f"CHANNEL_LAYERS[{alias!r}] cannot be imported: {error}",
                hint="Is its package installed? 'eventcast[redis]' brings channels_redis.",
                id="eventcast.E003",
            )
        ]
    stock = isinstance(layer, type) and issubclass(layer, StockInMemoryChannelLayer)
    if stock and not issubclass(layer, InMemoryChannelLayer):
        return [
            Warning(
                f"CHANNEL_LAYERS[{alias!r}] is Channels' in-memory layer, which drops messages silently above 100 "
                "waiting, and takes longer the more channels are open.",
                hint="Use 'eventcast.layers.InMemoryChannelLayer', which is a drop-in subclass.",
                id="eventcast.W002",
            )
        ]
    return []


@register("eventcast")
def check_listeners(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """The apps' ``listeners.py``: imported, as ``eventcast listen`` does it.

    No more than a warning: what only the listeners need may be missing where something else runs.
    """
    return [
        Warning(
            f"A listeners.py cannot be imported: {broken}",
            hint="Until it can be, 'manage.py eventcast listen' does not start.",
            id="eventcast.W020",
        )
        for broken in discover(app_configs)
    ]
