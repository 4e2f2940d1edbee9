from __future__ import annotations

from django.urls import path

from payment import views

app_name = "payment"
urlpatterns = [path("", views.checkout, name="pay")]
