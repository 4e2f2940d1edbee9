from __future__ import annotations

from django.urls import path

from logs import views

app_name = "logs"
urlpatterns = [
    path("", views.all_hosts, name="all"),
    path("<str:host>/", views.one_host, name="host"),
]
