"""The standalone server's URLs: the start page and the admin. Each other path is a channel."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from eventcast.http import views

admin.site.site_header = admin.site.site_title = "eventcast"
admin.site.login_template = "eventcast/login.html"

urlpatterns = [
    path("", views.start, name="eventcast_start"),
    path("admin", views.slash_for_browsers),
    path("admin/", admin.site.urls),
    path("", include("eventcast.urls")),
]
