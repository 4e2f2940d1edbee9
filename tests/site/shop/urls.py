from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from tests.site.shop import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("orders/<int:number>/pay/", views.pay),
    path("orders/<int:number>/pack/", views.pack),
    path("live/", include("eventcast.urls")),
]
