"""The admin's pages, and the URLs for their scripts: figures, messages and operations, each with its permission.

The pages use the list, permissions, history and styles of Django's admin, with live channels in place of a
table's rows.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.contrib.auth import get_permission_codename
from django.contrib.messages import constants as levels
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.urls import path, reverse
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from eventcast.admin import everywhere, formats, operations, reports
from eventcast.admin.changelist import LiveChangeList
from eventcast.conf import conf
from eventcast.engine import names
from eventcast.engine.asking import own_name
from eventcast.exceptions import InvalidChannel, Refused, StreamingUnavailable
from eventcast.http import answers, pages
from eventcast.http.formats import FORMATS, NDJSON
from eventcast.http.streams import Stream
from eventcast.layers import is_local
from eventcast.models import Channel
from eventcast.security.authorization import asking
from eventcast.security.authorization.sessions import Viewers

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Channel]
else:
    Base = admin.ModelAdmin


def _column(ordering: str, title: Any, text_of: Callable[[Any], str], figure: str) -> Callable[[Any, Channel], str]:
    """A column of the list that sorts by ``ordering`` and shows ``figure``, an attribute of a channel, as text."""
    value_of = operator.attrgetter(figure)
    return admin.display(ordering=ordering, description=title)(lambda _, channel: text_of(value_of(channel)))


class ChannelAdmin(Base):
    """Channels in an admin site. For a site of your own: ``my_site.register(Channel, ChannelAdmin)``.

    The permissions are Django's own, given to users and groups as all others. A page shows only what its user may do;
    the other URLs answer 403. The URLs collide with no channel: in a path, a channel's name begins with ``_2F``, which
    stands for its slash.
    """

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

    # --- permissions ------------------------------------------------------------------------------------------------

    def has_no_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """Always False: a channel has no fields, begins with its first subscriber and ends with its last."""
        return False

    has_add_permission = has_change_permission = has_delete_permission = has_no_permission

    def has_publish_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """Whether the user may publish to channels: the permission ``eventcast.publish_channel``."""
        return self._has(request, "publish")

    def has_disconnect_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """Whether the user may disconnect subscribers: the permission ``eventcast.disconnect_channel``."""
        return self._has(request, "disconnect")

    def _has(self, request: HttpRequest, action: str) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.{get_permission_codename(action, self.opts)}")

    # --- pages --------------------------------------------------------------------------------------------------------

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
        """A channel's page: Django's own without a form. Themes of the admin expect all of its context."""
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

    # --- URLs -------------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        """The URLs of the views, then the admin's own."""

        def url(route: str, view: Any, methods: Callable[..., Any] = require_GET, permission: str = "view") -> Any:
            def permitted(request: HttpRequest, **arguments: str) -> HttpResponseBase:
                if not getattr(self, f"has_{permission}_permission")(request):
                    raise PermissionDenied
                return cast(HttpResponseBase, view(request, **arguments))

            name = self._url_name(view.__name__.removesuffix("_view"))
            return path(route, self.admin_site.admin_view(methods(permitted)), name=name)

        return [
            url("totals/", self.totals_view),
            url("figures/", self.list_figures_view),
            url("<path:object_id>/figures/", self.figures_view),
            url("<path:object_id>/messages/", self.messages_view),
            url("<path:object_id>/publish/", self.publish_view, require_POST, "publish"),
            url("<path:object_id>/disconnect/", self.disconnect_view, require_POST, "disconnect"),
            *super().get_urls(),
        ]

    def totals_view(self, request: HttpRequest) -> HttpResponse:
        """The totals of all channels."""
        return JsonResponse({"totals": reports.of_all(everywhere.look())})

    def list_figures_view(self, request: HttpRequest) -> HttpResponse:
        """The rows of one page of the list; the query string is that of the list."""
        return JsonResponse(reports.of_list(self, request))

    def figures_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A channel's figures and one page of its subscribers: ``?q=&p=``."""
        with formats.time_zone_of(request):
            return JsonResponse(reports.of_channel(self.find(request, object_id).name, request.GET))

    def messages_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """A channel's messages as lines of JSON, for browsers that cannot open a WebSocket.

        The page does not use the channel's own URL: a user with the view permission here may have no permission to
        subscribe there. The permission here is checked again every ``RECHECK_INTERVAL`` seconds.
        """
        channel = self.find(request, object_id)
        if getattr(request, "scope", None) is None:
            refusal = StreamingUnavailable("Streams need an ASGI server, such as Daphne.")
            return answers.refused(request, refusal).for_django()
        viewers = Viewers()
        permit = asking.permit_of(viewers, viewers.can_subscribe, request, channel.name)
        return cast(HttpResponseBase, Stream(request, channel.name, FORMATS[NDJSON], permit, viewer=True).for_django())

    def publish_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Publish to a channel."""
        return self._operate(request, object_id, operations.publish)

    def disconnect_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Disconnect one subscriber of a channel, or all."""
        return self._operate(request, object_id, operations.disconnect)

    def find(self, request: HttpRequest, object_id: str) -> Channel:
        """The channel that a URL names, with or without subscribers; 404 if the name cannot be a channel's."""
        channel = self.get_object(request, unquote(object_id))
        if channel is None:
            raise Http404(gettext("That cannot be a channel's name."))
        return channel

    def _operate(self, request: HttpRequest, object_id: str, operation: Callable[..., str]) -> HttpResponse:
        channel = self.find(request, object_id)
        result, refusal = "", None
        try:
            result = operation(self, request, channel.name)
        except Refused as error:
            refusal = error
        # The page's script asks for JSON. A browser without the script sends the form and wants a page.
        if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
            return answers.refused(request, refusal).for_django() if refusal else JsonResponse({"message": result})
        level = levels.ERROR if refusal else levels.SUCCESS
        self.message_user(request, pages.translated(refusal.detail) if refusal else result, level)
        name, arguments = "index", []
        if self.has_view_permission(request):
            name, arguments = self._url_name("change"), [quote(channel.name)]
        return HttpResponseRedirect(reverse(f"admin:{name}", args=arguments, current_app=self.admin_site.name))

    def _url_name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"
