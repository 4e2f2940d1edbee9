"""The existing site with eventcast's own channel layer, as the system check recommends."""

from __future__ import annotations

from tests.site.settings import *  # noqa: F403

CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels.layers.InMemoryChannelLayer"},
    "eventcast": {"BACKEND": "eventcast.layers.InMemoryChannelLayer"},
}
