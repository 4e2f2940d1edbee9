"""The existing site with eventcast's layer for Redis as the one of all its sockets."""

from __future__ import annotations

import os

from tests.site.settings import *  # noqa: F403

CHANNEL_LAYERS = {
    "default": {"BACKEND": "eventcast.layers.RedisChannelLayer", "CONFIG": {"hosts": [os.environ["TEST_REDIS"]]}},
}
