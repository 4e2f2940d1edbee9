"""Settings of the standalone server. A deployment changes them with environment variables.

docs/settings.md lists the variables. Their defaults are for one machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

from django.core.management.utils import get_random_secret_key

from eventcast.conf import PASSING_KEY
from eventcast_project import environment

BASE_DIR = Path(__file__).resolve().parent.parent

# Signs sessions, CSRF tokens and eventcast's tokens. A random key is safe, but with each restart the admin's users must
# log in again and tokens end. Several processes need one key: set it.
SECRET_KEY = environment.text("DJANGO_SECRET_KEY", PASSING_KEY + get_random_secret_key())

# Django's debug pages show source code. They are for developers, and only developers start runserver.
DEBUG = environment.flag("DJANGO_DEBUG", default=sys.argv[1:2] == ["runserver"])

ALLOWED_HOSTS = environment.words("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")

# For a server behind a proxy that ends TLS. The proxy must set X-Forwarded-Proto, so that no client can set it.
HTTPS = environment.flag("DJANGO_HTTPS", default=False)

INSTALLED_APPS = [
    "daphne",  # above staticfiles, because it replaces that app's runserver
    "eventcast",  # above the admin, because it adds a line to the admin's index
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

# All of them run in the event loop. A middleware that cannot would cost each request a thread.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",  # pages are in the language of the browser
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
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

ROOT_URLCONF = "eventcast_project.urls"
LOGIN_URL = "admin:login"
ASGI_APPLICATION = "eventcast_project.asgi.application"

# A redirected POST returns as a GET and loses its message. Besides, /a and /a/ are two channels.
APPEND_SLASH = False

EVENTCAST = environment.eventcast_settings()
CHANNEL_LAYERS = environment.channel_layers()

# For the admin only: broadcasting needs no database.
DATABASES = environment.databases(BASE_DIR)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

STATIC_URL = "/static/"

# Django's admin has more languages, but eventcast's pages in it have not.
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LANGUAGE_CODE = environment.choice("DJANGO_LANGUAGE_CODE", "en", [code for code, _ in LANGUAGES])
TIME_ZONE = environment.time_zone("DJANGO_TIME_ZONE", "UTC")
USE_TZ = True

# HSTS concerns all services of the host, so the proxy that ends TLS decides on it.
SILENCED_SYSTEM_CHECKS = ["security.W004"]
if HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^(?!admin/)"]  # only the admin's pages are redirected, never a program's POST
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
else:
    # Without TLS, as on a laptop or in a closed network, browsers never return a secure cookie:
    # no redirect to https:// (W008), no secure cookie for the session (W012) and for CSRF (W016).
    SILENCED_SYSTEM_CHECKS += ["security.W008", "security.W012", "security.W016"]

# One handler, on the root logger. It replaces the handler of the daphne command, so that no line is logged twice.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "filters": {"brief": {"()": "eventcast_project.logs.Brief"}},
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "line",
            "filters": ["brief"],
        }
    },
    "root": {"handlers": ["stdout"], "level": "INFO"},
    "loggers": {"django": {"handlers": [], "level": "INFO"}},  # without the handlers of Django's default
}
