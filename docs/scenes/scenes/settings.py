"""Settings of the scenes: plain Django with eventcast, and no database.

Environment variables change some of them; the README lists these variables.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = get_random_secret_key()  # signs only the notices that one page leaves for the next
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "daphne",
    "eventcast",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "scenes",
    # Each scene is one app or more. No app imports another, so each can be removed.
    "payment",
    "mailing",
    "texting",
    "deployment",
    "alarms",
    "logs",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "scenes.policy.content_security_policy",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
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
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

ROOT_URLCONF = "scenes.urls"
ASGI_APPLICATION = "scenes.asgi.application"
APPEND_SLASH = False  # /a and /a/ are two channels

DATABASES: dict[str, object] = {}
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"  # without sessions
STATIC_URL = "/static/"
USE_TZ = True
TIME_ZONE = "UTC"

# The server's URL, for the commands that talk to the server.
URL = os.environ.get("SCENES_URL", "http://127.0.0.1:8000")
# Every program that reaches the server may publish and subscribe; in browsers, only the server's own pages may. This is
# enough on one machine. On any other, AUTHORIZATION decides which clients may; see docs/security.md.
EVENTCAST = {"URL": URL}

OUTBOX = BASE_DIR / "outbox"  # what the scenes send

# payment: each paid order is POSTed to this address, with the order's key at its end.
PAYMENT_WEBHOOK = f"{URL}/eventcast/user/"

# mailing and alarms: a file for each mail, or a real server, as in SCENES_SMTP=mail.example.com:25.
COMPANY_EMAIL = "orders@example.com"
DEFAULT_FROM_EMAIL = "shop@example.com"
if smtp := os.environ.get("SCENES_SMTP"):
    EMAIL_HOST, _, _port = smtp.partition(":")
    EMAIL_PORT = int(_port or 25)
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = OUTBOX / "mail"

# texting: the class that sends a text, and the file of the default class.
TEXT_GATEWAY = "texting.gateways.FileGateway"
TEXT_FILE = OUTBOX / "texts.txt"

# alarms: seconds of silence until an alarm, the address of its mail, and the file of all alarms.
HEARTBEAT_TIMEOUT = float(os.environ.get("SCENES_HEARTBEAT_TIMEOUT", "30"))
ALARM_EMAIL = "operators@example.com"
ALARM_FILE = OUTBOX / "alarms.txt"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "line"}},
    "root": {"handlers": ["stdout"], "level": "INFO"},
    "loggers": {"django": {"handlers": [], "level": "INFO"}},
}
