"""Settings of the standalone server: what a deployment may want to change is in an environment variable.

docs/settings.md lists the variables. Each has a default that serves on one machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

from django.core.management.utils import get_random_secret_key

from eventcast.conf import PASSING_KEY
from eventcast_project import environment

BASE_DIR = Path(__file__).resolve().parent.parent

# Signs sessions, CSRF tokens and eventcast's own. A random key is safe, and costs no more than this: whoever is logged
# in to the admin logs in again after a restart, and tokens are over. Several processes need the same key, so set it.
SECRET_KEY = environment.text("DJANGO_SECRET_KEY", PASSING_KEY + get_random_secret_key())

# Pages with source code in them are for whoever develops, and that is who starts runserver.
DEBUG = environment.flag("DJANGO_DEBUG", default=sys.argv[1:2] == ["runserver"])

ALLOWED_HOSTS = environment.words("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")

# Set where a proxy in front ends the TLS, and sets X-Forwarded-Proto itself so that no client can.
HTTPS = environment.flag("DJANGO_HTTPS", default=False)

INSTALLED_APPS = [
    "daphne",  # above staticfiles, whose runserver it replaces
    "eventcast",  # above the admin, whose index it adds a line to
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

# All of them can run in the event loop. One that cannot would cost every request a thread.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
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
ASGI_APPLICATION = "eventcast_project.asgi.application"

# A redirected POST comes back as a GET, and its message is lost; besides, /a and /a/ are two channels.
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
TIME_ZONE = "UTC"
USE_TZ = True

# HSTS binds everything under the host's name, other services too: that is for the proxy that ends the TLS to say.
SILENCED_SYSTEM_CHECKS = ["security.W004"]
if HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^(?!admin/)"]  # only people are sent to https://, never a program's POST
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
else:
    # Without TLS, as on a laptop or inside a closed network, a secure cookie would never come back:
    # no redirect to https:// (W008), no secure cookie for the session (W012) and for CSRF (W016).
    SILENCED_SYSTEM_CHECKS += ["security.W008", "security.W012", "security.W016"]

# One handler, on the root logger: it replaces the one the daphne command puts there, and so no line comes twice.
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
    "loggers": {"django": {"handlers": [], "level": "INFO"}},  # without the handlers that Django gives it by default
}
