from __future__ import annotations

from django.urls import include, path

from tests.site import views

urlpatterns = [
    path("", views.home, name="home"),
    path("visits/", views.visits, name="visits"),
    path("guestbook/", views.guestbook, name="guestbook"),
    path("room/", views.room, name="room"),
    path("orders/<int:number>/pay/", views.pay, name="pay"),
    path("orders/<int:number>/pack/", views.pack, name="pack"),
    path("orders/<int:number>/ship/", views.ship, name="ship"),
    path("orders/<int:number>/deliver/", views.deliver, name="deliver"),
    path("live/", include("eventcast.urls")),
]
