"""Admin sites besides Django's own."""

from __future__ import annotations

import re

import pytest
from django.template import engines
from django.test import Client, RequestFactory

from tests.admin.conftest import Room

pytestmark = [pytest.mark.urls("tests.admin.sites"), pytest.mark.django_db]

PAGES = ["", "eventcast/channel/", "eventcast/channel/_2Fa/change/", "eventcast/channel/_2Fa/history/"]


@pytest.mark.parametrize("page", PAGES)
def test_pages_of_a_site_stay_in_that_site(superuser: Client, room: Room, page: str) -> None:
    room.fill(["/a"])
    found = superuser.get(f"/back-office/{page}").content.decode()
    links = re.findall(r'(?:href|action|data-[-\w]*url)="(/[^"]*)"', found)
    assert {link.split("/")[1] for link in links} <= {"back-office", "static", "a", ""}
    assert "/back-office/eventcast/channel/" in found


def test_own_site_has_all_pages(superuser: Client, room: Room) -> None:
    room.fill(["/a"])
    for page in ("totals/", "figures/", "_2Fa/figures/"):
        assert superuser.get(f"/back-office/eventcast/channel/{page}").status_code == 200
    answer = superuser.post("/back-office/eventcast/channel/_2Fa/publish/", {"data": "hello"})
    assert (answer.status_code, answer["Location"]) == (302, "/back-office/eventcast/channel/_2Fa/change/")


def test_own_column_is_shown(superuser: Client, room: Room) -> None:
    room.fill(["/a"])
    room.publish("/a", "hello")
    found = superuser.get("/back-office/eventcast/channel/").content.decode()
    assert re.search(r'<td class="field-delivered">1</td>', found)
    assert superuser.get("/back-office/eventcast/channel/figures/").json()["rows"][0]["cells"]["channel"] == "/a"


def test_index_of_a_site_without_channels_has_no_totals(superuser: Client) -> None:
    answer = superuser.get("/accounts/")
    assert answer.status_code == 200
    assert "eventcast-totals" not in answer.content.decode()


def test_totals_need_no_context_processor(superuser: Client) -> None:
    request = RequestFactory().get("/admin/")
    request.user = superuser.get("/admin/").context["user"]
    template = engines["django"].from_string("{% load eventcast_admin %}{% eventcast_totals %}")
    # A site's own template may have an engine without the context processor for the request.
    assert "eventcast-totals" in template.render({}, request)
