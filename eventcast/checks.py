"""System checks: wrong settings are reported when the server starts, before a message is lost because of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from channels.exceptions import InvalidChannelLayerError
from channels.layers import InMemoryChannelLayer as StockInMemoryChannelLayer
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from eventcast.client.targets import parse_url
from eventcast.conf import SETTINGS, conf, left_open
from eventcast.layers import InMemoryChannelLayer, is_local
from eventcast.listeners import discover
from eventcast.security import origins
from eventcast.security.authorization.asking import find
from eventcast.security.authorization.base import Open
from eventcast.security.clients import proxies

CHECKED_ELSEWHERE = {"ALLOWED_ORIGINS", "AUTHORIZATION", "KEYS", "SESSIONS", "RULES"}
LISTS_OF_PERMISSIONS = {f"eventcast.authorization.{name}": name.upper() for name in ("Keys", "Sessions", "Rules")}
"""The setting that lists what clients may do, for each value of ``AUTHORIZATION`` that has one."""

WORKERS = {
    "django_celery_beat",
    "django_celery_results",
    "django_dramatiq",
    "django_q",
    "django_rq",
    "django_tasks",
    "django_tasks.backends.database",
    "huey.contrib.djhuey",
    "procrastinate.contrib.django",
}
"""Apps of task queues, the workers of which are processes that do not serve."""

LONGEST_READ = 5
"""Seconds that a read of channels_redis waits for a message."""


@register("eventcast")
def check_settings(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """``EVENTCAST`` is a dict of known settings with valid values."""
    configured = getattr(settings, "EVENTCAST", {})
    if not isinstance(configured, dict):
        return [Error("EVENTCAST is not a dict.", hint="EVENTCAST = {'MAX_MESSAGE_SIZE': 65536}", id="eventcast.E001")]
    found: list[CheckMessage] = []
    for name, value in configured.items():
        if name not in SETTINGS:
            hint = f"Known: {', '.join(sorted(SETTINGS))}."
            found.append(Warning(f"EVENTCAST has no setting {name!r}.", hint=hint, id="eventcast.W001"))
        elif name not in CHECKED_ELSEWHERE and (valid := _valid_instead_of(name, value)):
            found.append(Error(f"EVENTCAST[{name!r}] must be {valid}, not {value!r}.", id="eventcast.E002"))
    return [*found, *_check_origins(configured.get("ALLOWED_ORIGINS", [])), *_check_authorization(configured)]


def _valid_instead_of(name: str, value: object) -> str:
    """What the setting must be, if the value is wrong; empty if it is right."""
    setting = SETTINGS[name]
    if setting.choices:
        right = any(type(value) is type(choice) and value == choice for choice in setting.choices)  # 1 is not True
        valid = " or ".join(map(repr, setting.choices))
    elif name == "KEY":
        right, valid = isinstance(value, str), "a key or token as text"
    elif name == "URL":
        right = _is_read_by(lambda url: url.startswith("http") and parse_url(url), value)
        valid = "an http or https URL"
    elif name == "TRUSTED_PROXIES":
        right = isinstance(value, (list, tuple)) and _is_read_by(lambda addresses: proxies(*addresses), value)
        valid = "a list of addresses and networks, with 'unix' for a Unix socket"
    else:
        right = isinstance(value, int) and not isinstance(value, bool) and value >= setting.least
        valid = f"a whole number, {setting.least} or more"
    return "" if right else valid


def _is_read_by(parse: Callable[[Any], object], value: object) -> bool:
    try:
        return bool(parse(value))
    except (ValueError, TypeError, AttributeError):
        return False


def _check_origins(value: object) -> list[CheckMessage]:
    right = "EVENTCAST = {'ALLOWED_ORIGINS': ['https://app.example', 'https://*.example.com']}"
    if not isinstance(value, (list, tuple, set, frozenset)):
        return [Error(f"EVENTCAST['ALLOWED_ORIGINS'] must be a list, not {value!r}.", hint=right, id="eventcast.E010")]
    rule = "an origin is http:// or https:// and a host, in ASCII, without a path or a slash at its end"
    return [
        Error(f"EVENTCAST['ALLOWED_ORIGINS'] has {entry!r}: {rule}.", hint=right, id="eventcast.E011")
        for entry in value
        if not origins.may_be_listed(entry)
    ]


def _check_authorization(configured: dict[str, Any]) -> list[CheckMessage]:
    hint = "Use {'AUTHORIZATION': 'eventcast.authorization.Keys'} or another class: see docs/security.md."
    if problem := left_open(configured):
        return [Error(f"EVENTCAST: {problem}", hint=f"{hint} Until then, all requests fail.", id="eventcast.E006")]
    try:
        kind = find(conf.AUTHORIZATION)
    except ImproperlyConfigured as error:
        return [Error(f"EVENTCAST['AUTHORIZATION']: {error}", hint=hint, id="eventcast.E004")]
    hint = "See docs/security.md. Until this is right, all requests fail."
    if problems := kind.problems():
        return [Error(problem, hint=hint, id="eventcast.E005") for problem in problems]
    name = LISTS_OF_PERMISSIONS.get(conf.AUTHORIZATION)
    if name is None or getattr(conf, name):
        return []
    text = f"EVENTCAST[{name!r}] is empty: with {conf.AUTHORIZATION!r} no client may subscribe or publish."
    return [Warning(text, hint="docs/security.md has an example.", id="eventcast.W005")]


@register("eventcast", deploy=True)
def check_deployment(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """With ``check --deploy``: the server is not open to all clients, nor to the pages of all sites."""
    if not isinstance(getattr(settings, "EVENTCAST", {}), dict):
        return []
    found: list[CheckMessage] = []
    if origins.allowed().any:
        text = (
            "EVENTCAST['ALLOWED_ORIGINS'] has '*': any page on the web may publish and subscribe through the browser "
            "of its reader, if that browser reaches this server."
        )
        hint = "List the origins of your pages, such as 'https://app.example' or 'https://*.example.com'."
        found.append(Warning(text, hint=hint, id="eventcast.W010"))
    text = "Every client that reaches the server may subscribe and publish to every channel."
    hint = "EVENTCAST = {'AUTHORIZATION': 'eventcast.authorization.Keys'} or another class: see docs/security.md."
    with suppress(ImproperlyConfigured):  # which check_settings reports
        if issubclass(find(conf.AUTHORIZATION), Open):
            found.append(Warning(text, hint=hint, id="eventcast.W004"))
    return found


@register("eventcast")
def check_layer(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """The channel layer can be imported, and does not drop messages silently."""
    alias, layers = conf.CHANNEL_LAYER, getattr(settings, "CHANNEL_LAYERS", {})
    if layers and alias not in layers:
        text = f"CHANNEL_LAYERS has {', '.join(map(repr, layers))}, and no layer that eventcast uses."
        hint = "Name one 'eventcast' or 'default'. Until then, messages stay in the process that publishes them."
        return [Warning(text, hint=hint, id="eventcast.W006")]
    backend = layers.get(alias, {}).get("BACKEND")
    if backend is None:
        return []
    try:
        layer = import_string(backend)
    except ImportError as error:
        hint = "Is its package installed? 'eventcast[redis]' installs those of eventcast.layers.RedisChannelLayer."
        return [Error(f"CHANNEL_LAYERS[{alias!r}] cannot be imported: {error}", hint=hint, id="eventcast.E003")]
    if backend == "channels_redis.core.RedisChannelLayer" and "capacity" not in layers[alias].get("CONFIG", {}):
        hint = "Add 'eventcast.layers.RedisChannelLayer' as 'eventcast', or set 'capacity' in 'CONFIG'."
    elif (
        isinstance(layer, type)
        and issubclass(layer, StockInMemoryChannelLayer)
        and not issubclass(layer, InMemoryChannelLayer)
    ):
        hint = "Use 'eventcast.layers.InMemoryChannelLayer', which is a drop-in subclass."
    else:
        return []
    text = f"CHANNEL_LAYERS[{alias!r}] is {backend}, which drops messages silently above 100 unread ones."
    return [Warning(text, hint=hint, id="eventcast.W002")]


@register("eventcast")
def check_redis(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Each read of ``RedisChannelLayer`` of channels_redis may last as long as it waits for a message."""
    layer = getattr(settings, "CHANNEL_LAYERS", {}).get(conf.CHANNEL_LAYER, {})
    if layer.get("BACKEND") != "channels_redis.core.RedisChannelLayer" or find_spec("redis") is None:
        return []
    import redis.connection

    parse: Any = redis.connection.parse_url  # It has no types.
    found: list[CheckMessage] = []
    for host in layer.get("CONFIG", {}).get("hosts", ["redis://localhost:6379"]):
        options: dict[str, Any] = host if isinstance(host, dict) else {"address": host} if isinstance(host, str) else {}
        options = options | (parse(options["address"]) if "address" in options else {})
        timeout = options.get("socket_timeout", LONGEST_READ if int(redis.VERSION[0]) >= 8 else None)
        if timeout is not None and timeout <= LONGEST_READ:
            text = (
                f"channels_redis reads for {LONGEST_READ} s; redis-py ends that after {timeout:g} s and loses messages."
            )
            hint = "Use 'eventcast.layers.RedisChannelLayer', or write the host with 'socket_timeout': 30."
            found.append(Warning(text, hint=hint, id="eventcast.W012"))
    return found


@register("eventcast")
def check_workers(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Tasks that publish reach the server: by a channel layer that spans processes, or by ``URL``."""
    found = sorted(WORKERS.intersection(settings.INSTALLED_APPS))
    found += [name for name in ("CELERY_BROKER_URL", "RQ_QUEUES", "HUEY", "Q_CLUSTER") if hasattr(settings, name)]
    configured = getattr(settings, "EVENTCAST", {})
    if not found or not isinstance(configured, dict) or "URL" in configured:
        return []
    try:
        if not is_local():
            return []
    except (ImportError, InvalidChannelLayerError):
        return []  # eventcast.E003
    text = f"There is a task queue ({', '.join(found)}), and nothing that its workers publish reaches a subscriber."
    hint = "Set EVENTCAST['URL'] to the URL of the server, or CHANNEL_LAYERS to Redis: see docs/site.md."
    return [Warning(text, hint=hint, id="eventcast.W030")]


@register("eventcast")
def check_listeners(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """The apps' ``listeners.py``: each can be imported.

    This is only a warning: a package that only the listeners need may be missing in other processes.
    """
    return [
        Warning(
            f"A listeners.py cannot be imported: {broken}",
            hint="Until it can be, 'manage.py eventcast listen' does not start.",
            id="eventcast.W020",
        )
        for broken in discover(app_configs)
    ]
