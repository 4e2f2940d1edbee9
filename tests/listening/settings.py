"""No LOGGING and no channel layer: what listens needs neither."""

from __future__ import annotations

import os

SECRET_KEY = "not-a-secret-it-only-signs-what-the-tests-make"
INSTALLED_APPS = ["eventcast", "django.contrib.contenttypes", "tests.listening"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DATABASE_PATH", ":memory:")},
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
EVENTCAST = {"URL": os.environ.get("EVENTCAST_URL", "http://127.0.0.1:8000")}
