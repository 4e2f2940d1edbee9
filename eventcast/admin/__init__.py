"""Django's admin: the live channels, their subscribers and their messages."""

from __future__ import annotations

from django.contrib import admin

from eventcast.admin.channels import ChannelAdmin
from eventcast.models import Channel

__all__ = ["ChannelAdmin"]

admin.site.register(Channel, ChannelAdmin)
