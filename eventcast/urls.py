"""``path("live/", include("eventcast.urls"))`` makes every path below ``/live/`` a channel."""

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.urls import path, re_path

from eventcast.http import views

if not apps.is_installed("eventcast"):
    # Without the app there are no system checks that could say so, and half of it works: channels, but no static files.
    raise ImproperlyConfigured("Add 'eventcast' to INSTALLED_APPS: urls.py includes 'eventcast.urls'.")

app_name = "eventcast"
urlpatterns = [
    path("-/channels", views.list_channels, name="channels"),
    path("-/health/live", views.probe, name="live"),
    path("-/health/ready", views.probe, name="ready"),
    path("-/metrics", views.figures, name="metrics"),
    path("-/subscribe", views.subscribe, name="subscribe"),
    # With any number of slashes before it: Channels' URLRouter strips them, and both sides have to agree.
    re_path(r"^/*-/", views.reserved),
    # No "." and no "$": they stop at a newline, and /a%0Ab is a channel as well.
    re_path(r"^", views.channel, name="channel"),
]
