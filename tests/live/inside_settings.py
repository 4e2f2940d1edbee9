"""The standalone server with a door for tests at its inside: see ``tests.live.inside``."""

from __future__ import annotations

from eventcast_project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.live.inside"
