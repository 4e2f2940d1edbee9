"""The standalone server with an app that has snapshots."""

from __future__ import annotations

from eventcast_project.settings import *  # noqa: F403
from eventcast_project.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.live.snapshotting"]
