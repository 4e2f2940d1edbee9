"""A site with an admin of its own, beside Django's, and its URLs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import include, path

from eventcast.admin import ChannelAdmin
from eventcast.models import Channel


class OwnChannelAdmin(ChannelAdmin):
    """A list with one more column."""

    list_display = (*ChannelAdmin.list_display, "delivered")

    @admin.display(description="delivered")
    def delivered(self, channel: Channel) -> Any:
        return channel.info.figures.delivered


operators = admin.AdminSite(name="operators")
operators.register(Channel, OwnChannelAdmin)

without_channels = admin.AdminSite(name="accounts")

urlpatterns = [
    path("admin/", admin.site.urls),
    path("back-office/", operators.urls),
    path("accounts/", without_channels.urls),
    path("", include("eventcast.urls")),
]
