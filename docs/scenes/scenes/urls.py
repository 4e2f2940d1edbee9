"""Pages below ``/scenes/``; every other path is a channel."""

from __future__ import annotations

from django.urls import include, path, re_path
from django.views.defaults import page_not_found
from django.views.generic import TemplateView

urlpatterns = [
    path("scenes/", TemplateView.as_view(template_name="scenes/index.html"), name="scenes"),
    path("scenes/payment/", include("payment.urls")),
    path("scenes/deployment/", include("deployment.urls")),
    path("scenes/logs/", include("logs.urls")),
    re_path("^scenes/", page_not_found, {"exception": None}),  # or else a mistyped page would be a channel
    path("", include("eventcast.urls")),
]
