from __future__ import annotations

from typing import Any

from django.conf import settings
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path

urlpatterns: list[Any] = [path("live/", include("eventcast.urls"))]
ADMIN = path("admin/", admin.site.urls)
urlpatterns += i18n_patterns(ADMIN) if "languages" in settings.SITE_DEFAULTS else [ADMIN]
if "debug toolbar" in settings.SITE_DEFAULTS:
    urlpatterns += [path("__debug__/", include("debug_toolbar.urls"))]
