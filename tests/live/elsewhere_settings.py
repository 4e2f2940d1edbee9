"""The existing site in a process that does not serve channels. The environment says how it reaches the server."""

from __future__ import annotations

import os

from tests.site.settings import *  # noqa: F403

EVENTCAST = {name: os.environ[f"TEST_{name}"] for name in ("URL", "KEY") if f"TEST_{name}" in os.environ}
if "TEST_REDIS" in os.environ:
    CHANNEL_LAYERS = {
        "eventcast": {
            "BACKEND": "eventcast.layers.RedisChannelLayer",
            "CONFIG": {"hosts": [os.environ["TEST_REDIS"]]},
        },
    }
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
