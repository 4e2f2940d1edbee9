"""Settings from environment variables. Each value is converted to its type, or refused with the variable's name."""

from __future__ import annotations

import importlib.util
import json
import os
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ImproperlyConfigured

from eventcast.conf import CLOSING, SETTINGS, left_open

PREFIX = "EVENTCAST_"
REDIS_URL = "EVENTCAST_REDIS_URL"


def text(name: str, default: str) -> str:
    """The value of a variable without surrounding blanks; ``default`` if it is unset or empty."""
    return os.environ.get(name, "").strip() or default


def flag(name: str, *, default: bool) -> bool:
    return _boolean(name, text(name, str(default)))


def words(name: str, default: str) -> list[str]:
    """A comma-separated list."""
    return _words(name, text(name, default))


def choice(name: str, default: str, choices: Collection[str]) -> str:
    """One of some values."""
    value = text(name, default)
    if value not in choices:
        raise ImproperlyConfigured(f"{name}={value!r} is none of {', '.join(choices)}")
    return value


def time_zone(name: str, default: str) -> str:
    """The name of a time zone, such as ``Asia/Shanghai``."""
    value = text(name, default)
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ImproperlyConfigured(f"{name}={value!r} is not a time zone, such as Asia/Shanghai") from None
    return value


def databases(base_dir: Path) -> dict[str, Any]:
    """``DATABASES``: the database of ``DATABASE_URL``, else SQLite in the file ``DATABASE_PATH``."""
    url = text("DATABASE_URL", "")
    if not url:
        path = text("DATABASE_PATH", str(base_dir / "db.sqlite3"))
        return {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": path}}
    _require("dj_database_url", "dj-database-url", variable="DATABASE_URL")
    import dj_database_url

    try:
        return {"default": dj_database_url.parse(url)}
    except ValueError:
        # Neither the URL nor dj-database-url's error is shown, because the URL contains a password.
        raise ImproperlyConfigured(
            "DATABASE_URL is not the URL of a database, such as postgres://user:password@host:5432/name"
        ) from None


def channel_layers() -> dict[str, Any]:
    """``CHANNEL_LAYERS``: the Redis of ``EVENTCAST_REDIS_URL``, else the memory of this process."""
    url = text(REDIS_URL, "")
    if not url:
        return {"eventcast": {"BACKEND": "eventcast.layers.InMemoryChannelLayer"}}
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ImproperlyConfigured(f"{REDIS_URL} is not the URL of a Redis, such as redis://127.0.0.1:6379/0")
    for package in ("redis", "msgpack"):
        _require(package, package, variable=REDIS_URL)
    return {"eventcast": {"BACKEND": "eventcast.layers.RedisChannelLayer", "CONFIG": {"hosts": [url]}}}


def eventcast_settings() -> dict[str, Any]:
    """``EVENTCAST``: each setting ``NAME`` from the variable ``EVENTCAST_NAME``, if that is set."""
    known = {PREFIX + name for name in SETTINGS} | {REDIS_URL}
    unknown = [name for name in sorted(os.environ) if name.startswith(PREFIX) and name not in known]
    for name in unknown:
        # A warning, not an error: Kubernetes sets EVENTCAST_PORT and others if a service is named eventcast.
        warnings.warn(f"{name} is not a setting of eventcast, which has {', '.join(sorted(known))}", stacklevel=2)
    found: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        if value := text(PREFIX + name, ""):
            parse = _entries if name in CLOSING else _PARSERS[type(setting.default)]
            found[name] = parse(PREFIX + name, value)
    # Here as well as in a system check, because plain daphne runs no checks.
    unknown = [name.removeprefix(PREFIX) for name in unknown]
    if problem := left_open({**dict.fromkeys(unknown), **found}):
        raise ImproperlyConfigured(PREFIX + problem.replace("AUTHORIZATION is", f"{PREFIX}AUTHORIZATION is"))
    return found


def _require(module: str, package: str, *, variable: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise ImproperlyConfigured(f"{variable} needs the package {package}: pip install {package}")


def _boolean(name: str, value: str) -> bool:
    if value.lower() in ("1", "true", "yes", "on"):
        return True
    if value.lower() in ("0", "false", "no", "off"):
        return False
    raise ImproperlyConfigured(f"{name}={value!r} is neither 1 (true, yes, on) nor 0 (false, no, off)")


def _integer(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={value!r} is not a whole number") from None


def _entries(name: str, value: str) -> list[Any]:
    """The list in the JSON file ``value``: long for a variable, and keys stay hidden from readers of variables."""
    try:
        found = json.loads(Path(value).read_bytes())
    except OSError as error:
        raise ImproperlyConfigured(f"{name}: the JSON file with this path cannot be read: {error.strerror}") from None
    except ValueError as error:
        # The error's text names the place; the error itself holds the file with its keys, and is not shown.
        raise ImproperlyConfigured(f"{name}: the file is not JSON: {error}") from None
    if not isinstance(found, list):
        raise ImproperlyConfigured(f"{name}: the file does not contain a JSON list")
    return found


def _words(name: str, value: str) -> list[str]:
    return [word.strip() for word in value.split(",") if word.strip()]


_PARSERS: dict[Any, Callable[[str, str], Any]] = {
    bool: _boolean,
    int: _integer,
    str: lambda name, value: value,
    list: _words,
}
