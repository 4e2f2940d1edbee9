"""A site with defaults that concern all its views. The variable ``SITE_DEFAULTS`` says which."""

from __future__ import annotations

import os
from typing import Any

SECRET_KEY = "not-a-secret-it-only-signs-what-the-tests-make"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
DEBUG = False
INSTALLED_APPS = [
    "daphne",
    "eventcast",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
ROOT_URLCONF = "tests.site.defaults_urls"
ASGI_APPLICATION = "tests.site.defaults_asgi.application"
DATABASES: dict[str, dict[str, Any]] = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DATABASE_PATH", ":memory:")},
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"

SITE_DEFAULTS = os.environ.get("SITE_DEFAULTS", "none").split(", ")
MOUNT = "/live/"

if "atomic requests" in SITE_DEFAULTS:
    DATABASES["default"]["ATOMIC_REQUESTS"] = True
if "login required" in SITE_DEFAULTS:
    MIDDLEWARE.append("django.contrib.auth.middleware.LoginRequiredMiddleware")
if "gzip" in SITE_DEFAULTS:
    MIDDLEWARE.insert(0, "django.middleware.gzip.GZipMiddleware")
if "cache" in SITE_DEFAULTS:
    MIDDLEWARE.insert(0, "django.middleware.cache.UpdateCacheMiddleware")
    MIDDLEWARE.append("django.middleware.cache.FetchFromCacheMiddleware")
if "https" in SITE_DEFAULTS:
    SECURE_SSL_REDIRECT = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
if "no time zones" in SITE_DEFAULTS:
    USE_TZ = False
if "languages" in SITE_DEFAULTS:
    MIDDLEWARE.insert(2, "django.middleware.locale.LocaleMiddleware")
    LANGUAGE_CODE = "en"
if "own users" in SITE_DEFAULTS:
    INSTALLED_APPS.append("tests.site.accounts")
    AUTH_USER_MODEL = "accounts.Member"
if "csp" in SITE_DEFAULTS:
    INSTALLED_APPS.append("csp")
    MIDDLEWARE.append("csp.middleware.CSPMiddleware")
    CONTENT_SECURITY_POLICY = {"DIRECTIVES": {"default-src": ["'self'"]}}
if "debug toolbar" in SITE_DEFAULTS:
    DEBUG = True
    INTERNAL_IPS = ["127.0.0.1"]
    INSTALLED_APPS.append("debug_toolbar")
    MIDDLEWARE.insert(0, "debug_toolbar.middleware.DebugToolbarMiddleware")
if "unfold" in SITE_DEFAULTS:
    INSTALLED_APPS.insert(2, "unfold")
if "jazzmin" in SITE_DEFAULTS:
    INSTALLED_APPS.insert(2, "jazzmin")
if "script name" in SITE_DEFAULTS:
    FORCE_SCRIPT_NAME = "/app"
    MOUNT = "/app/live/"
    STATIC_URL = "/app/static/"
