"""The admin's list of live channels: searched, sorted and paged without a database."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast, get_args

from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest

from eventcast.admin.recorder import Look, recorder
from eventcast.engine import presence
from eventcast.models import Channel


class LiveChangeList(ChangeList):
    """Django's own list, with channels in place of a table's rows."""

    look: Look
    """The totals and rates of the same moment."""

    if TYPE_CHECKING:
        result_list: Any

    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str | None] | None = None) -> Any:
        """Nothing: the rows come from :meth:`get_results`. Django checks the parameters here."""
        self.filter_specs, self.has_filters, remaining, _, self.has_active_filters = self.get_filters(request)
        self.clear_all_filters_qs = self.get_query_string(new_params=remaining, remove=self.get_filters_params())
        return self.root_queryset

    def get_results(self, request: HttpRequest) -> None:
        """Choose the channels of this page."""
        self.look = recorder.look()
        by_channel = self.look.by_channel
        everything = presence.figure_of_all("subscribers")
        found = self._sort(self._search(everything), {"subscribers": everything, "rate": by_channel or {}})
        paginator = self.model_admin.get_paginator(request, cast(Any, found), self.list_per_page)
        self.result_count = len(found)
        self.full_result_count = len(everything)
        self.show_full_result_count = self.model_admin.show_full_result_count
        self.show_admin_actions = False
        self.can_show_all = self.result_count <= self.list_max_show_all
        self.multi_page = self.result_count > self.list_per_page
        self.paginator = paginator
        if self.multi_page and not (self.show_all and self.can_show_all):
            # Channels come and go: a page that has just disappeared is not a wrong parameter.
            page = paginator.get_page(self.page_num)
            self.page_num = page.number
            found = list(page.object_list)
        self.result_list = [_channel(name, everything[name], by_channel) for name in found]

    def _search(self, names: dict[str, float]) -> list[str]:
        words = self.query.lower().split()
        return [name for name in names if all(word in name.lower() for word in words)] if words else list(names)

    def _sort(self, names: list[str], known: dict[str, dict[str, float]]) -> list[str]:
        names.sort()
        for column, way in reversed(self.get_ordering_field_columns().items()):
            field = self.get_ordering_field(self.list_display[column]) if column < len(self.list_display) else None
            if field is None:
                continue
            if field in get_args(presence.FigureName) and field not in known:
                known[str(field)] = presence.figure_of_all(cast(presence.FigureName, field))
            # A channel that has just begun is not in all of them. (A key function written in C takes half the time.)
            values = defaultdict(float, known[str(field)]).__getitem__ if field in known else None
            names.sort(key=values, reverse=way == "desc")
        return names


def _channel(name: str, subscribers: float, by_channel: dict[str, float] | None) -> Channel:
    channel = Channel(name=name)
    channel.info = replace(presence.channel_info(name), subscribers=int(subscribers))
    channel.rate = None if by_channel is None else by_channel.get(name)
    return channel
