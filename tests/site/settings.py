"""An existing site that has taken eventcast in: the rest of it was there before, and must go on working."""

from __future__ import annotations

import os

SECRET_KEY = "not-a-secret-it-only-signs-what-the-tests-make"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "daphne",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "eventcast",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "tests.site.urls"
ASGI_APPLICATION = "tests.site.asgi.application"

# The layer of the site's own sockets; eventcast finds no layer of its own, and uses this one.
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

# APPEND_SLASH stays at Django's default: True, as in most sites.
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("TEST_SITE_DATABASE", ":memory:")},
}
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "assets/"
USE_TZ = True
