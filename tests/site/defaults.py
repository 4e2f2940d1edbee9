"""A site with one default that concerns all its views. The variable ``SITE_DEFAULT`` says which."""

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

SITE_DEFAULT = os.environ.get("SITE_DEFAULT", "none")
MOUNT = "/live/"

match SITE_DEFAULT:
    case "atomic requests":
        DATABASES["default"]["ATOMIC_REQUESTS"] = True
    case "login required":
        MIDDLEWARE.append("django.contrib.auth.middleware.LoginRequiredMiddleware")
    case "gzip":
        MIDDLEWARE.insert(0, "django.middleware.gzip.GZipMiddleware")
    case "cache":
        MIDDLEWARE.insert(0, "django.middleware.cache.UpdateCacheMiddleware")
        MIDDLEWARE.append("django.middleware.cache.FetchFromCacheMiddleware")
    case "https":
        SECURE_SSL_REDIRECT = True
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    case "no time zones":
        USE_TZ = False
    case "languages":
        MIDDLEWARE.insert(2, "django.middleware.locale.LocaleMiddleware")
        LANGUAGE_CODE = "en"
    case "own users":
        INSTALLED_APPS.append("tests.site.accounts")
        AUTH_USER_MODEL = "accounts.Member"
    case "csp":
        INSTALLED_APPS.append("csp")
        MIDDLEWARE.append("csp.middleware.CSPMiddleware")
        CONTENT_SECURITY_POLICY = {"DIRECTIVES": {"default-src": ["'self'"]}}
    case "debug toolbar":
        DEBUG = True
        INTERNAL_IPS = ["127.0.0.1"]
        INSTALLED_APPS.append("debug_toolbar")
        MIDDLEWARE.insert(0, "debug_toolbar.middleware.DebugToolbarMiddleware")
    case "unfold":
        INSTALLED_APPS.insert(2, "unfold")
    case "jazzmin":
        INSTALLED_APPS.insert(2, "jazzmin")
    case "script name":
        FORCE_SCRIPT_NAME = "/app"
        MOUNT = "/app/live/"
        STATIC_URL = "/app/static/"
