"""The user of a request where no middleware of Django's ran, and what a class of one's own makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Group, User
from django.http import HttpRequest
from django.test import Client, RequestFactory, override_settings

from eventcast.authorization import Authorization, Permit, SessionClaim
from eventcast.exceptions import Forbidden
from eventcast.http.head import Head
from eventcast.http.request import Request
from eventcast.security import users
from tests.fakes import permit

pytestmark = pytest.mark.django_db


class Teams(Authorization):
    """A team is a group of Django's."""

    def can_subscribe(self, request: Any, channel: str) -> bool:
        return bool(request.user.groups.filter(name=channel[1:]).exists())

    async def can_publish(self, request: Any, channel: str) -> bool:
        user = await request.auser()
        return bool(user.is_staff)


class Strict(Teams):
    """Says more than False."""

    def can_subscribe(self, request: Any, channel: str) -> bool:
        if not super().can_subscribe(request, channel):
            raise Forbidden("Join the team.")
        return True


class Devices(Authorization):
    """Knows clients by what they send."""

    def can_subscribe(self, request: Any, channel: str) -> bool:
        return "X-Device" in request.headers

    def user_of(self, request: HttpRequest) -> str:
        return request.headers.get("X-Device", "")


@pytest.fixture(autouse=True, params=["Teams", "Strict"])
def authorization(request: pytest.FixtureRequest) -> Iterator[None]:
    with override_settings(EVENTCAST={"AUTHORIZATION": f"{__name__}.{request.param}"}):
        yield


@pytest.fixture
def client() -> Client:
    user = User.objects.create_user("zhang", is_staff=True)
    user.groups.add(Group.objects.create(name="red"))
    client = Client()
    client.force_login(user)
    return client


def cookie(client: Client) -> str:
    return str(client.cookies[settings.SESSION_COOKIE_NAME].value)


def from_the_door(client: Client) -> HttpRequest:
    text = f"sessionid={cookie(client)}"
    there: Any = {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "websocket": True}
    return Request(Head("GET", "/red", "1.0", [("Cookie", text)]), **there)


def from_django(client: Client) -> HttpRequest:
    request = RequestFactory().get("/red")
    request.COOKIES[settings.SESSION_COOKIE_NAME] = cookie(client)
    return request


def past_middleware(client: Client) -> HttpRequest:
    request = RequestFactory().get("/red")
    request.user, request.session = User.objects.get(), client.session
    return request


def past_middleware_of_channels(client: Client) -> HttpRequest:
    request: Any = RequestFactory().get("/red")
    request.scope = {"type": "websocket", "user": User.objects.get(), "session": client.session, "headers": []}
    return request  # type: ignore[no-any-return]


ROADS = pytest.mark.parametrize("road", [from_the_door, from_django, past_middleware, past_middleware_of_channels])


def ask(request: HttpRequest, action: str = "subscribe", wanted: str = "/red") -> Permit:
    return async_to_sync(permit)(action, request, wanted)


@ROADS
def test_yes_to_a_user_rests_on_its_session(road: Any, client: Client) -> None:
    user = User.objects.get()
    found = ask(road(client))
    (claim,) = found.claims
    assert isinstance(claim, SessionClaim)
    assert (found.user, found.identity) == ("zhang", f"user {user.pk}")
    assert (claim.session_key, claim.user_id) == (client.session.session_key, user.pk)
    assert claim.holds()


@ROADS
def test_user_is_there_for_a_coroutine(road: Any, client: Client) -> None:
    (claim,) = ask(road(client), "publish").claims
    assert isinstance(claim, SessionClaim)
    assert claim.holds()
    User.objects.update(is_staff=False)
    assert not claim.holds()


def end_session(client: Client) -> None:
    client.logout()


def deactivate(client: Client) -> None:
    User.objects.update(is_active=False)


def leave_the_team(client: Client) -> None:
    User.objects.get().groups.clear()


@ROADS
@pytest.mark.parametrize("happen", [end_session, deactivate, leave_the_team])
def test_yes_to_a_user_lapses_with_what_it_rests_on(road: Any, happen: Any, client: Client) -> None:
    (claim,) = ask(road(client)).claims
    assert claim.lapsed([claim]) == []
    happen(client)
    assert claim.lapsed([claim]) == [claim]


def test_user_is_read_when_it_is_used(django_assert_num_queries: Any, client: Client) -> None:
    request: Any = from_the_door(client)
    with django_assert_num_queries(0):
        users.attach(request)
    with django_assert_num_queries(2):  # the session, and the user
        assert request.user.get_username() == "zhang"
    with django_assert_num_queries(0):
        assert request.session["_auth_user_id"] == str(request.user.pk)


def test_user_that_middleware_knows_without_a_session_rests_on_none(
    django_assert_num_queries: Any, client: Client
) -> None:
    request: Any = from_the_door(client)
    request.user = User.objects.get()
    with django_assert_num_queries(0):
        assert users.logged_in(request) == (request.user, None)


def test_request_without_a_cookie_costs_no_query(django_assert_num_queries: Any) -> None:
    request: Any = RequestFactory().get("/red")
    with django_assert_num_queries(0):
        users.attach(request)
        assert isinstance(request.user, AnonymousUser) or not request.user.is_authenticated


@pytest.mark.parametrize("uses_cookies", [True, False])
def test_class_with_names_of_its_own_rests_on_the_session_only_if_cookies_count(
    uses_cookies: bool, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Devices, "uses_cookies", uses_cookies)
    request = from_the_door(client)
    request.META["HTTP_X_DEVICE"] = "7"
    with override_settings(EVENTCAST={"AUTHORIZATION": f"{__name__}.Devices"}):
        found = ask(request)
    assert (found.user, found.identity, bool(found.claims)) == ("7", "", uses_cookies)


def test_request_that_is_kept_has_no_connection(client: Client) -> None:
    request: Any = from_the_door(client)
    request.scope["eventcast.protocol"] = object()
    (claim,) = ask(request).claims
    kept: Any = getattr(claim, "request", None)
    assert "eventcast.protocol" not in kept.scope
    assert "eventcast.protocol" in request.scope
    assert {"user", "session", "auser"} & set(vars(kept)) == set()
    assert kept.headers == request.headers


class Fragile(Teams):
    """Has a mistake that one user meets."""

    broken: ClassVar[set[str]] = set()

    def can_subscribe(self, request: Any, channel: str) -> bool:
        if channel in self.broken:
            raise KeyError(channel)
        return super().can_subscribe(request, channel)


def test_mistake_of_a_class_keeps_no_other_subscriber(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    user = User.objects.get()
    user.groups.add(Group.objects.create(name="blue"))
    with override_settings(EVENTCAST={"AUTHORIZATION": f"{__name__}.Fragile"}):
        claims: Any = [ask(from_the_door(client), wanted=wanted).claims[0] for wanted in ("/red", "/blue")]
        user.groups.clear()
        monkeypatch.setattr(Fragile, "broken", {"/red"})
        assert type(claims[0]).lapsed(claims) == [claims[1]]
    assert "Asking again for a permission failed" in caplog.text
