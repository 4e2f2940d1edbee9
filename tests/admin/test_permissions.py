"""Permissions: every page, every method, every kind of user."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from eventcast.engine import presence
from tests.admin.conftest import ClientOf, Room, url

# Each request: the permission it needs, and the status with that permission.
REQUESTS = {
    ("GET", "changelist"): ("view", 200),
    ("GET", "totals"): ("view", 200),
    ("GET", "list_figures"): ("view", 200),
    ("GET", "change"): ("view", 200),
    ("GET", "figures"): ("view", 200),
    ("GET", "messages"): ("view", 501),  # no streams in the test client, which is WSGI
    ("GET", "history"): ("view", 200),
    ("POST", "publish"): ("publish", 302),
    ("POST", "disconnect"): ("disconnect", 302),
    ("GET", "add"): (None, 403),
    ("POST", "add"): (None, 403),
    ("GET", "delete"): (None, 403),
    ("POST", "delete"): (None, 403),
}
OF_ALL = {"changelist", "totals", "list_figures", "add"}
OWN = {"totals", "list_figures", "figures", "messages", "publish", "disconnect"}
EVERYTHING = ("view", "publish", "disconnect")

every_request = pytest.mark.parametrize(("method", "page"), REQUESTS, ids=" ".join)


def ask(client: Client, method: str, page: str) -> int:
    target = url(page) if page in OF_ALL else url(page, "/a")
    status = client.generic(
        method, target, "data=hello&subscriber=all" if method == "POST" else "", "application/x-www-form-urlencoded"
    ).status_code
    return int(status)


@every_request
@pytest.mark.parametrize("permissions", [(), *[(each,) for each in EVERYTHING], EVERYTHING], ids=str)
def test_staff_needs_the_permission_of_each_page(
    client_of: ClientOf, method: str, page: str, permissions: tuple[str, ...]
) -> None:
    needed, answer = REQUESTS[method, page]
    assert ask(client_of(*permissions), method, page) == (answer if needed in permissions else 403)


@every_request
def test_superuser_needs_no_permission(superuser: Client, method: str, page: str) -> None:
    assert ask(superuser, method, page) == REQUESTS[method, page][1]


@pytest.mark.django_db
@every_request
def test_stranger_is_sent_to_the_login(method: str, page: str) -> None:
    client = Client()
    assert ask(client, method, page) == 302
    assert LogEntry.objects.count() == 0


@every_request
@pytest.mark.parametrize("fields", [{"is_staff": False}, {"is_active": False}], ids=str)
def test_user_without_active_staff_account_is_sent_to_the_login(
    client_of: ClientOf, method: str, page: str, fields: dict[str, bool]
) -> None:
    assert ask(client_of(*EVERYTHING, **fields), method, page) == 302


@pytest.mark.parametrize("page", sorted(OWN))
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_page_takes_one_method(superuser: Client, page: str, method: str) -> None:
    if (method, page) not in REQUESTS:
        assert ask(superuser, method, page) == 405


def test_refused_publish_reaches_no_subscriber(client_of: ClientOf, room: Room) -> None:
    subscriber = room.enter("/a")
    assert ask(client_of("view", "disconnect"), "POST", "publish") == 403
    room.publish("/a", "the next one")
    assert subscriber.data == ["the next one"]
    assert LogEntry.objects.count() == 0


def test_refused_disconnect_leaves_subscribers_connected(client_of: ClientOf, room: Room) -> None:
    room.enter("/a")
    assert ask(client_of("view", "publish"), "POST", "disconnect") == 403
    room.publish("/a", "still there")
    assert presence.subscriber_count("/a") == 1
    assert LogEntry.objects.count() == 0


@pytest.mark.parametrize("page", ["publish", "disconnect"])
def test_form_without_csrf_token_is_refused(superuser: Client, page: str) -> None:
    superuser.handler.enforce_csrf_checks = True
    response = superuser.post(url(page, "/a"), {"data": "hello", "subscriber": "all"})
    assert response.status_code == 403
    assert LogEntry.objects.count() == 0


@pytest.mark.parametrize("permission", ["publish", "disconnect"])
def test_page_shows_only_what_the_user_may_do(client_of: ClientOf, permission: str) -> None:
    found = client_of("view", permission).get(url("change", "/a")).content.decode()
    assert (f'action="{url("publish", "/a")}"' in found) is (permission == "publish")
    assert (f'action="{url("disconnect", "/a")}"' in found) is (permission == "disconnect")
    assert ("Publish" in found, "Disconnect" in found) == (permission == "publish", permission == "disconnect")


def test_index_has_the_totals_with_view_permission(client_of: ClientOf, room: Room) -> None:
    room.fill(["/a", "/b"])
    found = client_of("view").get("/admin/").content.decode()
    assert 'Channels: <b data-figure="channels">2</b>, subscribers: <b data-figure="subscribers">2</b>,' in found
    assert f'data-url="{url("totals")}"' in found
    assert f'href="{url("changelist")}"' in found


@pytest.mark.parametrize("permissions", [(), ("publish", "disconnect")])
def test_index_has_no_totals_without_view_permission(client_of: ClientOf, permissions: tuple[str, ...]) -> None:
    assert "eventcast-totals" not in client_of(*permissions).get("/admin/").content.decode()
