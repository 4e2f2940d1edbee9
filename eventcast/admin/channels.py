"""The admin's pages: the list of live channels, and a page for each channel.

Both use the list, permissions, history and styles of Django's admin, with the live channels of this process in place
of a table's rows.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, gettext_lazy

from eventcast.admin import everywhere, formats, operations, reports
from eventcast.admin.changelist import LiveChangeList
from eventcast.admin.endpoints import Endpoints
from eventcast.conf import conf
from eventcast.engine import names
from eventcast.engine.asking import own_name
from eventcast.exceptions import InvalidChannel
from eventcast.layers import is_local
from eventcast.models import Channel


class ChannelAdmin(Endpoints):
    """Channels in an admin site. For a site of your own: ``my_site.register(Channel, ChannelAdmin)``."""

    list_display = ("channel", "subscribers", "rate", "messages", "lost", "last_message")
    search_fields = ("name",)
    ordering = ("name",)
    actions = None

    # --- the columns of the list ------------------------------------------------------------------------------------

    @admin.display(ordering="name", description=gettext_lazy("channel"))
    def channel(self, channel: Channel) -> str:
        """The channel's name."""
        return str(channel)

    @admin.display(ordering="subscribers", description=gettext_lazy("subscribers"))
    def subscribers(self, channel: Channel) -> str:
        """Subscribers now."""
        return formats.number(channel.info.subscribers)

    @admin.display(ordering="rate", description=gettext_lazy("messages/s"))
    def rate(self, channel: Channel) -> str:
        """Messages per second."""
        return formats.per_second(channel.rate)

    @admin.display(ordering="messages", description=gettext_lazy("messages"))
    def messages(self, channel: Channel) -> str:
        """Messages since the channel has had subscribers without a break."""
        return formats.number(channel.info.figures.messages)

    @admin.display(ordering="lost", description=gettext_lazy("lost"))
    def lost(self, channel: Channel) -> str:
        """Lost messages, counted once for each subscriber that did not get them."""
        return formats.number(channel.info.figures.lost)

    @admin.display(ordering="last_message_at", description=gettext_lazy("last message"))
    def last_message(self, channel: Channel) -> str:
        """The time since the last message."""
        return formats.ago(channel.info.last_message_at)

    # --- the pages --------------------------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[LiveChangeList]:
        """The list of live channels."""
        return LiveChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Channel | None:
        """The channel of this name, with or without subscribers; None if it cannot be a channel's name."""
        try:
            return Channel(name=names.check_channel(object_id))
        except InvalidChannel:
            return None

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list of live channels."""
        context = {
            "title": gettext("Live channels"),
            "totals": reports.of_all(everywhere.look()),
            "more": reports.more_of_list(),
            "knows_all": is_local() or bool(own_name()),
        }
        return super().changelist_view(request, context | (extra_context or {}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A channel's page: that of Django without a form, because themes of the admin expect all of its context."""
        channel = self.find(request, object_id)
        context = {
            "title": str(channel),
            "subtitle": None,
            "knows_all": is_local() or bool(own_name()),
            "limit": str(conf.MAX_MESSAGE_SIZE),
            "may_publish": self.has_publish_permission(request),
            "may_disconnect": self.has_disconnect_permission(request),
        }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The operations on a channel."""
        return super().history_view(request, quote(operations.log_key(unquote(object_id))), extra_context)
