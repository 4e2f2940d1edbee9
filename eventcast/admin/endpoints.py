"""What the admin's pages ask for: figures, messages as they pass, and operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_POST

from eventcast.admin import operations, reports
from eventcast.admin.permissions import ChannelPermissions
from eventcast.admin.rates import rates
from eventcast.admin.tail import tail
from eventcast.exceptions import Refused
from eventcast.http import answers
from eventcast.models import Channel

Operation = Callable[[ChannelPermissions, HttpRequest, str], str]


class Endpoints(ChannelPermissions):
    """The URLs beside those that every model has in the admin.

    No channel's name gets in their way: in a path it begins with the ``_2F`` that stands for its slash.
    """

    def get_urls(self) -> list[Any]:
        """These, then the admin's own."""

        def url(route: str, view: Callable[..., HttpResponseBase], name: str) -> Any:
            full_name = f"{self.opts.app_label}_{self.opts.model_name}_{name}"
            return path(route, self.admin_site.admin_view(view), name=full_name)

        return [
            url("totals/", require_GET(self.totals_view), "totals"),
            url("figures/", require_GET(self.list_figures_view), "list_figures"),
            url("<path:object_id>/figures/", require_GET(self.figures_view), "figures"),
            url("<path:object_id>/messages/", require_GET(self.messages_view), "messages"),
            url("<path:object_id>/publish/", require_POST(self.publish_view), "publish"),
            url("<path:object_id>/disconnect/", require_POST(self.disconnect_view), "disconnect"),
            *super().get_urls(),
        ]

    def totals_view(self, request: HttpRequest) -> HttpResponse:
        """The line that sums up all channels."""
        self.require(self.has_view_permission(request))
        return JsonResponse({"totals": reports.of_all(rates.look())})

    def list_figures_view(self, request: HttpRequest) -> HttpResponse:
        """The rows of a page of the list; the query string is that of the list."""
        self.require(self.has_view_permission(request))
        return JsonResponse(reports.of_list(self, request))

    def figures_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A channel's figures, and its subscribers a page at a time: ``?q=&p=``."""
        self.require(self.has_view_permission(request))
        return JsonResponse(reports.of_channel(self.find(request, object_id).name, request.GET))

    def messages_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """A channel's messages as Server-Sent Events.

        Not by the channel's own socket: that may be closed to those who may look in here, or open to everybody.
        """
        self.require(self.has_view_permission(request))
        channel = self.find(request, object_id)
        try:
            return tail(request, channel.name, self._may_watch)
        except Refused as refusal:
            return answers.refused(request, refusal)

    def publish_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Publish to a channel."""
        self.require(self.has_publish_permission(request))
        return self._operate(request, object_id, operations.publish)

    def disconnect_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Disconnect one subscriber of a channel, or all."""
        self.require(self.has_disconnect_permission(request))
        return self._operate(request, object_id, operations.disconnect)

    def find(self, request: HttpRequest, object_id: str) -> Channel:
        """The channel that a URL names, whether somebody listens or not; 404 if it can be none."""
        channel = self.get_object(request, unquote(object_id))
        if channel is None:
            raise Http404("That cannot be a channel's name.")
        return channel

    def _operate(self, request: HttpRequest, object_id: str, operation: Operation) -> HttpResponse:
        channel = self.find(request, object_id)
        said, refusal = "", None
        try:
            said = operation(self, request, channel.name)
        except Refused as error:
            refusal = error
        # The page's script asks for JSON; a form sent without it comes from a browser that wants a page.
        if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
            return answers.refused(request, refusal) if refusal else JsonResponse({"message": said})
        level = messages.ERROR if refusal else messages.SUCCESS
        self.message_user(request, refusal.detail if refusal else said, level)
        return HttpResponseRedirect(self._page_of(channel) if self.has_view_permission(request) else self._index())

    def _may_watch(self, request: HttpRequest) -> bool:
        return self.admin_site.has_permission(request) and self.has_view_permission(request)

    def _page_of(self, channel: Channel) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return reverse(name, args=(quote(channel.name),), current_app=self.admin_site.name)

    def _index(self) -> str:
        return reverse("admin:index", current_app=self.admin_site.name)
