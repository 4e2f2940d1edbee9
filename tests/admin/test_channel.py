"""A channel's page: its figures, its subscribers and the operations on them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models.signals import pre_save
from django.test import Client, override_settings
from django.utils.html import escape

from eventcast.engine import presence
from eventcast.engine.names import printable
from tests.admin.conftest import ClientOf, Room, url
from tests.admin.names import ODD_NAMES
from tests.fakes import StuckSubscriber

JSON = {"headers": {"accept": "application/json"}}


def figures(client: Client, name: str, **query: Any) -> dict[str, Any]:
    response = client.get(url("figures", name), query)
    assert response.status_code == 200, response
    return dict(response.json())


def history(client: Client, name: str) -> list[str]:
    """The entries on a channel's history page."""
    found = client.get(url("history", name)).content.decode()
    table = found.partition("<tbody>")[2].partition("</tbody>")[0]
    return [text.strip() for text in re.findall(r"<td>([^<]*)</td>\s*</tr>", table)]


# --- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_page_is_there_for_any_name(superuser: Client, name: str) -> None:
    found = superuser.get(url("change", name)).content.decode()
    assert f"<h1>{escape(printable(name))}</h1>" in found
    for page in ("figures", "messages", "publish", "disconnect", "history"):
        assert f'"{escape(url(page, name))}"' in found, page


@pytest.mark.parametrize("name", ["a", "-", "x" * 2000, "/" + "x" * 1024], ids=len)
@pytest.mark.parametrize("page", ["change", "figures", "messages"])
def test_page_is_404_for_an_invalid_name(superuser: Client, name: str, page: str) -> None:
    assert superuser.get(url(page, name)).status_code == 404


def test_history_redirects_for_an_invalid_name(superuser: Client) -> None:
    assert superuser.get(url("history", "a")).status_code == 302  # to the index, with a message, as in all of the admin


def test_page_shows_no_markup_of_a_name(superuser: Client) -> None:
    for page in ("change", "history"):
        assert "<script>alert" not in superuser.get(url(page, "/<script>alert(1)</script>")).content.decode()


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_figures_are_those_of_the_channel(superuser: Client, room: Room, name: str) -> None:
    room.fill([name, "/another"])
    room.publish(name, "one", "two")
    found = figures(superuser, name)
    assert found["cells"] | {"last_message": ""} == {
        "subscribers": "1",
        "messages": "2",
        "delivered": "2",
        "lost": "0",
        "last_message": "",
    }
    assert re.fullmatch(r"now \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC-0\d:00\)", found["cells"]["last_message"])


def test_figures_of_a_channel_without_subscribers_are_zeros(superuser: Client) -> None:
    found = figures(superuser, "/empty")
    assert found["cells"] == {
        "subscribers": "0",
        "messages": "0",
        "delivered": "0",
        "lost": "0",
        "last_message": "–",
    }
    assert found["rows"] == []


@pytest.mark.parametrize("after", ["x", "nan", "inf", "-1", "1e400", ""])
def test_figures_take_any_time_for_the_beginning(superuser: Client, after: str) -> None:
    assert figures(superuser, "/a", after=after)["points"]


# --- subscribers ------------------------------------------------------------------------------------------------------


def test_subscribers_are_described(superuser: Client, room: Room) -> None:
    known = room.enter("/a", StuckSubscriber(1234, peer="192.0.2.1:5000", user="ann"))
    unknown = room.enter("/a")
    rows = figures(superuser, "/a")["rows"]
    assert [row["id"] for row in rows] == [known.id, unknown.id]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC-0\d:00", rows[0]["cells"].pop("connected"))
    assert rows[0]["cells"] == {
        "peer": "192.0.2.1:5000",
        "user": "ann",
        "transport": "fake",
        "pending": "1,234",
        "lost": "0",
    }
    assert (rows[1]["cells"]["peer"], rows[1]["cells"]["user"]) == ("–", "–")


def test_subscribers_come_in_pages(superuser: Client, room: Room) -> None:
    ids = [room.enter("/a").id for _ in range(150)]
    first, second, third = (figures(superuser, "/a", p=page) for page in (1, 2, 3))
    assert [row["id"] for row in first["rows"] + second["rows"]] == ids
    assert [(found["page"], found["more"]) for found in (first, second, third)] == [(1, True), (2, False), (3, False)]
    assert third["rows"] == []


@pytest.mark.parametrize("page", ["0", "-1", "x", "", "nan", "99999999999999999999"])
def test_subscribers_take_any_number_of_a_page(superuser: Client, room: Room, page: str) -> None:
    room.enter("/a")
    assert figures(superuser, "/a", p=page)["page"] >= 1


def test_subscribers_are_found_by_peer_user_and_transport(superuser: Client, room: Room) -> None:
    room.enter("/a", peer="192.0.2.1:5000", user="Ann")
    room.enter("/a", peer="192.0.2.2:5000")
    assert [len(figures(superuser, "/a", q=text)["rows"]) for text in ("2.1", "ann", "FAKE", "nothing")] == [1, 1, 2, 0]


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Asia/Shanghai", "1970-01-02 08:00:00 UTC+08:00"),
        ("UTC", "1970-01-02 00:00:00 UTC"),
        ("Asia/Kolkata", "1970-01-02 05:30:00 UTC+05:30"),
    ],
)
def test_times_are_in_the_zone_of_the_reader(superuser: Client, room: Room, zone: str, shown: str) -> None:
    room.enter("/a").connected_at = 86400.0
    assert figures(superuser, "/a", zone=zone)["rows"][0]["cells"]["connected"] == shown


@pytest.mark.parametrize("zone", ["", "Nowhere/Land", "../../etc/passwd", "/etc/passwd", "\0", "x" * 5000])
def test_times_without_a_zone_are_in_that_of_the_server(superuser: Client, room: Room, zone: str) -> None:
    room.enter("/a").connected_at = 86400.0
    with override_settings(TIME_ZONE="UTC"):
        assert figures(superuser, "/a", zone=zone)["rows"][0]["cells"]["connected"] == "1970-01-02 00:00:00 UTC"


# --- publishing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_publishing_reaches_the_subscribers(client_of: ClientOf, room: Room, name: str) -> None:
    client, subscriber = client_of("view", "publish"), room.enter(name)
    answer = client.post(url("publish", name), {"data": "héllo"}, **JSON)
    assert answer.json() == {"message": "Published a text message of 6 bytes to 1 subscriber."}
    room.run_until(lambda: subscriber.data)
    assert subscriber.data == ["héllo"]
    assert history(client, name) == ["Published a text message of 6 bytes to 1 subscriber."]


@pytest.mark.parametrize("text", ["", "a\nb", "<b>", "\0"])
def test_publishing_sends_what_was_typed(superuser: Client, room: Room, text: str) -> None:
    subscriber = room.enter("/a")
    superuser.post(url("publish", "/a"), {"data": text.replace("\n", "\r\n")})
    room.run_until(lambda: subscriber.data)
    assert subscriber.data == [text]


def test_publishing_leads_back_to_the_page(client_of: ClientOf) -> None:
    answer = client_of("view", "publish").post(url("publish", "/a b"), {"data": "hello"}, follow=True)
    assert answer.redirect_chain == [(url("change", "/a b"), 302)]
    assert "Published a text message of 5 bytes to 0 subscribers." in answer.content.decode()


def test_publishing_leads_to_the_index_without_view_permission(client_of: ClientOf) -> None:
    answer = client_of("publish").post(url("publish", "/a"), {"data": "hello"}, follow=True)
    assert answer.redirect_chain == [("/admin/", 302)]
    assert "Published a text message" in answer.content.decode()


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [({}, 400, "missing_data"), ({"data": "x" * ((1 << 20) + 1)}, 413, "message_too_large")],
    ids=["nothing", "too much"],
)
def test_refused_message_is_not_in_the_history(
    superuser: Client, fields: dict[str, str], status: int, code: str
) -> None:
    answer = superuser.post(url("publish", "/a"), fields, **JSON)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    answer = superuser.post(url("publish", "/a"), fields, follow=True)
    assert 'class="error"' in answer.content.decode()
    assert LogEntry.objects.count() == 0


def test_publishing_to_an_invalid_name_is_refused(superuser: Client) -> None:
    assert superuser.post(url("publish", "a"), {"data": "hello"}).status_code == 404


# --- disconnecting ----------------------------------------------------------------------------------------------------


def test_disconnecting_one_closes_exactly_that_one(client_of: ClientOf, room: Room) -> None:
    client = client_of("view", "disconnect")
    subscribers = [room.enter("/a", peer=f"192.0.2.1:{n}", user="ann") for n in range(3)]
    ids = [subscriber.id for subscriber in subscribers]
    answer = client.post(url("disconnect", "/a"), {"subscriber": ids[1]}, **JSON)
    room.run_until(lambda: presence.subscriber_count("/a") == 2)
    assert [subscriber.close_code for subscriber in subscribers] == [None, 3000, None]
    said = f"Disconnected subscriber {ids[1]} (192.0.2.1:1, user ann, fake)."
    assert (answer.json(), history(client, "/a")) == ({"message": said}, [said])


def test_disconnecting_all_closes_those_of_the_channel(superuser: Client, room: Room) -> None:
    subscribers = [room.enter(channel) for channel in ("/a", "/a", "/b")]
    superuser.post(url("disconnect", "/a"), {"subscriber": "all"})
    room.run_until(lambda: presence.subscriber_count("/a") == 0)
    assert [subscriber.close_code for subscriber in subscribers] == [3000, 3000, None]
    assert history(superuser, "/a") == ["Disconnected all subscribers: 2."]


def test_subscriber_of_another_channel_is_not_disconnected(superuser: Client, room: Room) -> None:
    other = room.enter("/b")
    answer = superuser.post(url("disconnect", "/a"), {"subscriber": other.id}, **JSON)
    assert answer.json() == {"message": "That subscriber has left already."}
    room.publish("/b", "still there")
    assert presence.subscriber_count("/b") == 1
    assert LogEntry.objects.count() == 0


@pytest.mark.parametrize("chosen", [None, "", "every", "-1", "1.5", "٣", "1" * 30])
def test_disconnecting_an_invalid_number_is_refused(superuser: Client, room: Room, chosen: str | None) -> None:
    room.enter("/a")
    answer = superuser.post(url("disconnect", "/a"), {} if chosen is None else {"subscriber": chosen}, **JSON)
    assert (answer.status_code, answer.json()["error"]) == (400, "missing_data")
    assert LogEntry.objects.count() == 0


# --- history ----------------------------------------------------------------------------------------------------------


def test_history_has_the_user_of_each_operation(client_of: ClientOf) -> None:
    client = client_of("view", "publish", username="ann")
    client.post(url("publish", "/a"), {"data": "hello"})
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_id, entry.object_repr) == ("ann", "/a", "/a")
    assert entry.get_admin_url() == url("change", "/a")
    assert "ann" in client.get(url("history", "/a")).content.decode()


def test_history_is_of_one_channel(superuser: Client) -> None:
    superuser.post(url("publish", "/a"), {"data": "hello"})
    assert history(superuser, "/a/") == []


def test_operation_is_not_done_when_the_history_cannot_be_written(superuser: Client, room: Room) -> None:
    subscriber = room.enter("/a")

    def fail(**options: Any) -> None:
        raise RuntimeError("the disk is full")

    pre_save.connect(fail, sender=LogEntry)
    try:
        with pytest.raises(RuntimeError, match="the disk is full"):
            superuser.post(url("publish", "/a"), {"data": "hello"})
    finally:
        pre_save.disconnect(fail, sender=LogEntry)
    room.publish("/a", "the next one")
    assert subscriber.data == ["the next one"]
