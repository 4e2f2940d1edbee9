"""The standalone server with the channel layer and the Redis that a test names."""

from __future__ import annotations

import os

from eventcast_project.settings import *  # noqa: F403

CHANNEL_LAYERS = {
    "eventcast": {"BACKEND": os.environ["TEST_LAYER"], "CONFIG": {"hosts": [os.environ["TEST_REDIS"]]}},
}
ROOT_URLCONF = "tests.live.inside"
