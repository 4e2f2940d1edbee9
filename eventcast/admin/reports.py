"""The figures of the admin's pages as JSON: formatted texts, so that the pages' scripts only insert them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, cast

from django.http import HttpRequest, QueryDict
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from eventcast.admin import everywhere, formats
from eventcast.admin.changelist import LiveChangeList
from eventcast.admin.everywhere import AllChannels, Guest
from eventcast.engine import names, presence
from eventcast.engine.asking import ask_now

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    from eventcast.models import Channel

PAGE = 100
"""Subscribers on a page, and patterns below the list."""


def of_all(look: AllChannels) -> dict[str, str]:
    """The totals of all channels."""
    return {
        "channels": formats.number(look.totals.channels),
        "subscribers": formats.partial(formats.number(look.totals.subscribers), look.missing),
        "rate": formats.per_second(look.overall),
    }


def of_list(admin: ModelAdmin[Channel], request: HttpRequest) -> dict[str, Any]:
    """The rows of the list for a query string, and the links to the list's pages, made by the admin's template.

    ``after`` in the query string is the time of the last point in the charts.
    """
    query = request.GET.copy()
    after = _number(str(query.pop("after", [""])[-1]))
    request.GET = query  # type: ignore[assignment]  # the list takes no other parameters than its own
    changelist = cast(LiveChangeList, admin.get_changelist_instance(request))
    # A site may have added columns that are not plain text. They stay as they were when the page was loaded.
    columns = {name: getattr(admin, name) for name in map(str, changelist.list_display) if hasattr(admin, name)}
    rows = [
        {
            "url": changelist.url_for_result(channel),
            "cells": {name: text for name, show in columns.items() if type(text := show(channel)) is str},
        }
        for channel in changelist.result_list
    ]
    context = {"cl": changelist, "opts": changelist.opts}
    pagination = render_to_string("admin/eventcast/channel/pagination_of_list.html", context)
    return {
        "rows": rows,
        "pagination": pagination,
        "totals": of_all(changelist.look),
        "points": everywhere.points_of_all(after),
        "more": more_of_list(),
    }


def more_of_list() -> str:
    """What stands below the list, as HTML: the patterns that have subscribers, and the refusals by their codes."""
    found = ask_now("page", prefix=None, after="", limit=1, mount="/", everything=True).found
    patterns = [
        {
            "pattern": names.printable(info.channel),
            "subscribers": formats.number(info.subscribers),
            "messages": formats.number(info.figures.messages),
            "lost": formats.number(info.figures.lost),
        }
        for info in presence.merged(row for each in found for row in each["patterns"]).values()
    ][:PAGE]
    counts = sum((Counter(each["refused"]) for each in found), Counter[str]())
    refused = [(code, formats.number(count)) for code, count in counts.most_common()]
    return render_to_string("admin/eventcast/channel/more_of_list.html", {"patterns": patterns, "refused": refused})


def of_channel(name: str, query: QueryDict) -> dict[str, Any]:
    """A channel's figures and one page of its subscribers.

    :param query: ``p`` is the page's number; ``q`` is a text that peer, user or transport must contain; ``after`` is
        the time of the last point in the chart.
    """
    page = max(1, round(_number(query.get("p", ""))))
    matching, after = query.get("q", ""), _number(query.get("after", ""))
    report = everywhere.report(name, offset=(page - 1) * PAGE, limit=PAGE + 1, matching=matching, after=after)
    info = report.info
    last = info.last_message_at
    return {
        # Numbers for the charts; the last one is of now.
        "points": report.points,
        "cells": {
            "subscribers": formats.partial(formats.number(info.subscribers), report.missing),
            "messages": formats.number(info.figures.messages),
            "delivered": formats.number(info.figures.delivered),
            "lost": formats.number(info.figures.lost),
            "last_message": f"{formats.ago(last)} ({formats.moment(last)})" if last else formats.UNKNOWN,
        },
        "rows": [_subscriber(guest) for guest in report.guests[:PAGE]],
        "page": page,
        "more": len(report.guests) > PAGE,
    }


def _number(text: str) -> float:
    """A number of the query string; 0 if it is missing, not a number, or out of range."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value < 1e12 else 0.0


def _subscriber(subscriber: Guest) -> dict[str, Any]:
    return {
        "id": subscriber.id,
        "cells": {
            "peer": subscriber.peer or formats.UNKNOWN,
            "user": subscriber.user or formats.UNKNOWN,
            "transport": _("{transport}, by {pattern}").format(
                transport=subscriber.transport, pattern=names.printable(subscriber.pattern)
            )
            if subscriber.pattern
            else subscriber.transport,
            "connected": formats.moment(subscriber.connected_at),
            "pending": formats.number(subscriber.pending),
            "lost": formats.number(subscriber.lost),
        },
    }
