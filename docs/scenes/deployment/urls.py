from __future__ import annotations

from django.urls import path

from deployment import views

app_name = "deployment"
urlpatterns = [
    path("", views.console, name="console"),
    path("state/", views.state, name="state"),
    path("<str:name>/", views.act, name="act"),
]
