"""The standalone server's URLs: the admin. Each other path is a channel."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("eventcast.urls")),
]
