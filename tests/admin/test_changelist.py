"""The list of live channels, and the figures that keep it up to date."""

from __future__ import annotations

import re
from collections import Counter
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils.html import escape

from eventcast.admin.recorder import recorder
from eventcast.engine import patterns, presence
from eventcast.engine.names import printable
from eventcast.engine.publishing import publish
from eventcast.security import refusals
from tests.admin.conftest import Clock, Room, record, url
from tests.admin.names import ODD_NAMES
from tests.fakes import StuckSubscriber

COLUMNS = {"channel": 0, "subscribers": 1, "rate": 2, "messages": 3, "lost": 4, "last_message": 5}
"""The columns' numbers in the admin's URLs."""


def rows(client: Client, query: str = "") -> list[dict[str, str]]:
    """The cells of a page of the list."""
    response = client.get(f"{url('changelist')}?{query}")
    assert response.status_code == 200, response
    table = re.search(r'<table id="result_list">.*?</table>', response.content.decode(), re.DOTALL)
    found = re.findall(r"<tr>(.*?)</tr>", table[0].partition("<tbody>")[2], re.DOTALL) if table else []
    cells = [re.findall(r'class="field-(\w+)[^"]*">(.*?)</t[dh]>', row, re.DOTALL) for row in found]
    return [{name: re.sub(r"<[^>]*>", "", text) for name, text in row} for row in cells]


def figures(client: Client, query: str = "") -> dict[str, Any]:
    """The JSON for the list's script."""
    return dict(client.get(f"{url('list_figures')}?{query}").json())


def channels(client: Client, query: str = "") -> list[str]:
    found = [row["channel"] for row in rows(client, query)]
    assert [row["cells"]["channel"] for row in figures(client, query)["rows"]] == found
    return found


def test_list_is_empty_without_subscribers(superuser: Client) -> None:
    assert channels(superuser) == []
    assert "No channel has subscribers." in superuser.get(url("changelist")).content.decode()


def test_list_has_the_figures_of_each_channel(superuser: Client, room: Room) -> None:
    room.fill(["/a", "/a", "/b"])
    room.publish("/a", "one", "two")
    assert rows(superuser) == [
        {"channel": "/a", "subscribers": "2", "rate": "–", "messages": "2", "lost": "0", "last_message": "now"},
        {"channel": "/b", "subscribers": "1", "rate": "–", "messages": "0", "lost": "0", "last_message": "–"},
    ]


def test_list_sums_up_all_channels(superuser: Client, room: Room) -> None:
    room.fill(["/a", "/a", "/b"])
    found = superuser.get(url("changelist") + "?q=b").content.decode()
    assert 'Channels: <b data-figure="channels">2</b>, subscribers: <b data-figure="subscribers">3</b>,' in found
    assert superuser.get(url("totals")).json()["totals"] == figures(superuser)["totals"]
    assert figures(superuser)["totals"]["subscribers"] == "3"


def test_figures_are_what_the_page_shows(superuser: Client, room: Room) -> None:
    room.fill(["/a", "/a", "/b"])
    room.publish("/b", "one")
    assert [row["cells"] for row in figures(superuser)["rows"]] == rows(superuser)


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_list_leads_to_the_page_of_each_channel(superuser: Client, room: Room, name: str) -> None:
    room.fill([name])
    found = superuser.get(url("changelist")).content.decode()
    link = re.search(r'<a href="([^"]+/change/)">([^<]+)</a>', found)
    assert link
    assert link[2] == escape(printable(name))
    assert figures(superuser)["rows"][0]["url"] == unescape(link[1])
    response = superuser.get(unescape(link[1]))
    assert response.status_code == 200
    assert response.context["original"].name == name


def test_channel_with_broken_connections_only_is_not_in_the_list(superuser: Client, room: Room) -> None:
    room.enter("/a").leave()
    assert channels(superuser) == []


def test_patterns_and_their_subscribers_are_below_the_list(superuser: Client, room: Room) -> None:
    pattern: Any = patterns.parse("/orders/<int:id>")
    room.enter(pattern)
    publish("/orders/1", "hello")
    room.run_until(lambda: presence.live_patterns()[0].figures.messages == 1)
    for html in (superuser.get(url("changelist")).content.decode(), figures(superuser)["more"]):
        assert "/orders/&lt;int:id&gt;</th><td>1</td><td>1</td><td>0</td>" in html


def test_refusals_are_below_the_list(superuser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_counts", Counter({"forbidden": 3, "rate_limited": 1234}))
    for html in (superuser.get(url("changelist")).content.decode(), figures(superuser)["more"]):
        assert html.index("rate_limited</th><td>1,234</td>") < html.index("forbidden</th><td>3</td>")


def test_nothing_is_below_the_list_without_patterns_and_refusals(
    superuser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "_counts", Counter())
    assert "<table>" not in figures(superuser)["more"]


# --- search -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("orders", ["/Orders/1", "/orders/2"]),
        ("ORDERS 2", ["/orders/2"]),
        ("2 orders", ["/orders/2"]),
        ("中", ["/中文"]),
        ("/orders/2", ["/orders/2"]),
        ("nothing", []),
        ("", ["/Orders/1", "/orders/2", "/中文"]),
        ("%", []),
        ("' OR 1=1 --", []),
    ],
)
def test_search_finds_channels_that_contain_all_words(
    superuser: Client, room: Room, words: str, found: list[str]
) -> None:
    room.fill(["/Orders/1", "/orders/2", "/中文"])
    assert channels(superuser, f"q={words}") == found


def test_search_says_how_many_there_are(superuser: Client, room: Room) -> None:
    room.fill(["/a", "/b", "/ab"])
    found = superuser.get(url("changelist") + "?q=a").content.decode()
    assert re.search(r"2 results \(<a href=\"\?\">3 total</a>\)", found)


def test_search_for_a_path_offers_its_page(superuser: Client) -> None:
    found = superuser.get(url("changelist"), {"q": '/"quoted" name'}).content.decode()
    link = re.search(r'<a href="([^"]+)">Go to ([^<]+)</a>', found)
    assert link
    assert link[2] == "/&quot;quoted&quot; name"
    assert superuser.get(link[1]).context["original"].name == '/"quoted" name'


def test_search_shows_what_was_searched_as_it_is(superuser: Client) -> None:
    found = superuser.get(url("changelist"), {"q": "/<script>alert(1)</script>"}).content.decode()
    assert "<script>alert" not in found


# --- order ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def busy(room: Room) -> Room:
    """/b has most subscribers, /c most messages, /d the newest, /e the only losses; /a has nothing."""
    room.fill(["/b", "/b", "/b", "/a", "/c", "/d"])
    room.enter("/e", StuckSubscriber(1 << 30))
    for channel, count in (("/e", 1), ("/b", 2), ("/c", 3), ("/d", 1)):
        for number in range(count):
            room.publish(channel, f"message {number}")
    room.enter("/e")  # The slow subscriber before it has been closed.
    return room


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize(
    ("column", "descending"),
    [
        ("channel", ["/e", "/d", "/c", "/b", "/a"]),
        ("subscribers", ["/b", "/a", "/c", "/d", "/e"]),
        ("messages", ["/c", "/b", "/d", "/e", "/a"]),
        ("lost", ["/e", "/a", "/b", "/c", "/d"]),
        ("last_message", ["/d", "/c", "/b", "/e", "/a"]),
        ("rate", ["/a", "/b", "/c", "/d", "/e"]),  # not known yet
    ],
)
def test_list_is_sorted_by_each_column(superuser: Client, column: str, descending: list[str]) -> None:
    assert channels(superuser, f"o=-{COLUMNS[column]}") == descending


def test_list_is_sorted_by_rate(superuser: Client, busy: Room, clock: Clock) -> None:
    clock.advance(10)
    record(recorder)
    clock.advance(2)
    busy.publish("/b", "one", "two", "three")
    busy.publish("/d", "one", "two")
    found = rows(superuser, f"o=-{COLUMNS['rate']}")
    assert [(row["channel"], row["rate"]) for row in found[:3]] == [("/b", "1.5"), ("/d", "1.0"), ("/a", "0")]
    assert figures(superuser)["totals"]["rate"] == "2.5"


@pytest.mark.usefixtures("busy")
def test_list_is_sorted_by_several_columns(superuser: Client) -> None:
    assert channels(superuser, "o=1.-0") == ["/e", "/d", "/c", "/a", "/b"]


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("order", ["", "x", "99", "-99", "0", "-", "1.x", "1e3"])
def test_list_takes_any_order(superuser: Client, order: str) -> None:
    assert sorted(channels(superuser, f"o={order}")) == ["/a", "/b", "/c", "/d", "/e"]


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def crowd(room: Room) -> list[str]:
    """Channels for two pages and a half."""
    names = [f"/{number:03}" for number in range(250)]
    room.fill(names)
    return names


def test_list_comes_in_pages(superuser: Client, crowd: list[str]) -> None:
    assert channels(superuser) == crowd[:100]
    assert channels(superuser, "p=2") == crowd[100:200]
    assert channels(superuser, "p=3") == crowd[200:]


@pytest.mark.parametrize(("page", "shown"), [("4", 3), ("999999999999", 3), ("0", 3), ("-1", 3), ("x", 1), ("", 1)])
def test_page_out_of_range_is_the_nearest_page(superuser: Client, crowd: list[str], page: str, shown: int) -> None:
    assert channels(superuser, f"p={page}") == crowd[100 * (shown - 1) : 100 * shown]


@pytest.mark.usefixtures("crowd")
def test_figures_have_the_links_to_the_pages(superuser: Client) -> None:
    found = figures(superuser, "p=2&o=-1")["pagination"]
    assert {"o=-1&amp;p=1", "o=-1&amp;p=3"} <= set(re.findall(r'href="\?([^"]*)"', found))
    assert "250 channels" in found


def test_all_channels_are_shown_when_they_are_not_too_many(superuser: Client, room: Room) -> None:
    names = [f"/{number:03}" for number in range(120)]
    room.fill(names)
    assert channels(superuser, "all=") == names


@pytest.mark.usefixtures("crowd")
def test_all_channels_are_not_shown_when_they_are_too_many(superuser: Client) -> None:
    assert len(channels(superuser, "all=")) == 100


@pytest.mark.parametrize("query", ["name__startswith=x", "nonsense=1", "_facets=True", "e=1", "_popup=1"])
def test_list_ignores_unknown_parameters(superuser: Client, room: Room, query: str) -> None:
    room.fill(["/a"])
    assert channels(superuser, query) == ["/a"]


def test_list_asks_the_database_for_nothing_but_the_user(
    superuser: Client, crowd: list[str], django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(2):  # the session and the user
        assert len(rows(superuser)) == 100
    with django_assert_max_num_queries(2):
        assert len(figures(superuser)["rows"]) == 100
