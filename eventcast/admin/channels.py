"""The admin's pages: the list of live channels, and a page for each channel.

Both use the list, permissions, history and styles of Django's admin, with the live channels of this process in place
of a table's rows.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
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


def _column(ordering: str, title: Any, text_of: Callable[[Any], str], figure: str) -> Callable[[Any, Channel], str]:
    """A column of the list: what ``ordering`` sorts by, its head, and the figure that it has as text."""
    value_of = operator.attrgetter(figure)
    return admin.display(ordering=ordering, description=title)(lambda _, channel: text_of(value_of(channel)))


class ChannelAdmin(Endpoints):
    """Channels in an admin site. For a site of your own: ``my_site.register(Channel, ChannelAdmin)``."""

    list_display = ("channel", "subscribers", "rate", "messages", "lost", "last_message")
    search_fields = ("name",)
    ordering = ("name",)
    actions = None

    channel = _column("name", gettext_lazy("channel"), names.printable, "name")
    subscribers = _column("subscribers", gettext_lazy("subscribers"), formats.number, "info.subscribers")
    rate = _column("rate", gettext_lazy("messages/s"), formats.per_second, "rate")
    messages = _column("messages", gettext_lazy("messages"), formats.number, "info.figures.messages")
    lost = _column("lost", gettext_lazy("lost"), formats.number, "info.figures.lost")
    last_message = _column("last_message_at", gettext_lazy("last message"), formats.ago, "info.last_message_at")

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
