"""The admin's list of live channels: searched, sorted and paged without a database."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, cast, get_args

from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest

from eventcast.admin import everywhere
from eventcast.engine import presence
from eventcast.models import Channel


class LiveChangeList(ChangeList):
    """Django's own list, with channels in place of a table's rows."""

    look: everywhere.AllChannels
    """The totals and rates of the same moment."""

    if TYPE_CHECKING:
        result_list: Any

    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str | None] | None = None) -> Any:
        """Only check the parameters, as Django does. The rows come from :meth:`get_results`."""
        self.filter_specs, self.has_filters, remaining, _, self.has_active_filters = self.get_filters(request)
        self.clear_all_filters_qs = self.get_query_string(new_params=remaining, remove=self.get_filters_params())
        return self.root_queryset

    def get_results(self, request: HttpRequest) -> None:
        """Choose the channels of this page."""
        order = self._order()
        figures = {figure for figure, _ in order}.intersection(get_args(presence.FigureName)) - {"subscribers"}
        self.look = everywhere.look(figures)
        everything, rates = self.look.audiences, self.look.rates
        known = self.look.figures | {"subscribers": everything, "rate": rates or {}}
        found = self._search(everything)
        for figure, descends in reversed(order):
            # Some figures may lack a channel that just began. (A key function written in C takes half the time.)
            values = defaultdict(float, known[figure]).__getitem__ if figure in known else None
            found.sort(key=values, reverse=descends)
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
        infos = everywhere.infos(found)
        self.result_list = [_channel(infos[name], rates) for name in found]

    def _order(self) -> list[tuple[str, bool]]:
        """The figures to sort by, the most important first, each with whether the largest comes first."""
        shown = self.list_display
        return [
            (str(field), way == "desc")
            for column, way in self.get_ordering_field_columns().items()
            if column < len(shown) and (field := self.get_ordering_field(shown[column])) is not None
        ]

    def _search(self, names: dict[str, float]) -> list[str]:
        words = self.query.lower().split()
        return sorted([name for name in names if all(word in name.lower() for word in words)] if words else names)


def _channel(info: presence.ChannelInfo, rates: dict[str, float] | None) -> Channel:
    channel = Channel(name=info.channel)
    channel.info = info
    channel.rate = None if rates is None else rates.get(info.channel)
    return channel
