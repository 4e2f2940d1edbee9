"""The users of a site: what their sessions let them do, and when that is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.http import HttpRequest
from django.test import Client, RequestFactory, override_settings

from eventcast.authorization import Permit, SessionClaim
from eventcast.engine import patterns
from eventcast.exceptions import Refused
from tests.fakes import permit

pytestmark = pytest.mark.django_db

SESSIONS = [
    {"path": "/news", "subscribe": "anybody", "publish": "staff"},
    {"path": "/perm", "subscribe": "eventcast.view_channel"},
    {"path": "/chat/<path:any>", "subscribe": "authenticated", "publish": "authenticated"},
]


@pytest.fixture(autouse=True)
def sessions() -> Iterator[None]:
    with override_settings(
        EVENTCAST={"AUTHORIZATION": "eventcast.authorization.Sessions", "SESSIONS": SESSIONS},
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ):
        yield


@pytest.fixture
def user() -> User:
    return User.objects.create_user("zhang", password="one")


@pytest.fixture
def client(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def with_cookie(client: Client) -> HttpRequest:
    """A request as it comes where no middleware ran."""
    request = RequestFactory().get("/")
    request.COOKIES[settings.SESSION_COOKIE_NAME] = client.cookies[settings.SESSION_COOKIE_NAME].value
    return request


def with_user(user: Any) -> HttpRequest:
    """A request that has been through some middleware."""
    request = RequestFactory().get("/")
    request.user = user
    return request


def ask(request: HttpRequest, wanted: Any, action: Any = "subscribe") -> Permit | int:
    """The permit, or the status of the refusal."""
    try:
        return async_to_sync(permit)(action, request, wanted)
    except Refused as refused:
        return refused.status


def test_user_is_known_by_the_cookie(client: Client, user: User) -> None:
    found = ask(with_cookie(client), "/chat/a")
    assert isinstance(found, Permit)
    assert found.identity == f"user {user.pk}"
    assert (found.user, found.claims) == (
        "zhang",
        (SessionClaim(client.session.session_key, user.pk, "authenticated"),),
    )


def test_user_of_middleware_is_believed(user: User) -> None:
    found = ask(with_user(user), "/chat/a")
    assert isinstance(found, Permit)
    assert found.claims == (SessionClaim(None, user.pk, "authenticated"),)


@pytest.mark.parametrize(
    ("action", "wanted", "nobody", "somebody"),
    [
        ("subscribe", "/news", 0, 0),
        ("publish", "/news", 401, 403),
        ("subscribe", "/perm", 401, 403),
        ("publish", "/perm", 401, 403),
        ("publish", "/chat/a", 401, 0),
        ("subscribe", "/elsewhere", 401, 403),
        ("subscribe", patterns.parse("/chat/<x>"), 401, 0),
        ("subscribe", patterns.parse("/<path:x>"), 401, 403),
    ],
)
def test_user_may_do_what_the_entry_says(
    client: Client, user: User, action: Any, wanted: Any, nobody: int, somebody: int
) -> None:
    for request, status in (
        (RequestFactory().get("/"), nobody),
        (with_user(AnonymousUser()), nobody),
        (with_cookie(client), somebody),
        (with_user(user), somebody),
    ):
        found = ask(request, wanted, action)
        assert (0 if isinstance(found, Permit) else found) == status


def test_permission_and_staff_are_asked_of_the_user(client: Client, user: User) -> None:
    user.user_permissions.add(Permission.objects.get(codename="view_channel"))
    User.objects.filter(pk=user.pk).update(is_staff=True)
    assert isinstance(ask(with_cookie(client), "/perm"), Permit)
    assert isinstance(ask(with_cookie(client), "/news", "publish"), Permit)


def log_out(client: Client, user: User) -> None:
    client.logout()


def deactivate(client: Client, user: User) -> None:
    User.objects.update(is_active=False)


def change_password(client: Client, user: User) -> None:
    user.set_password("another")
    user.save()


def delete(client: Client, user: User) -> None:
    user.delete()


def forbid(client: Client, user: User) -> None:
    user.user_permissions.clear()


def nothing(client: Client, user: User) -> None:
    pass


@pytest.mark.parametrize("happen", [log_out, deactivate, change_password, delete, forbid])
def test_claim_lapses_with_what_it_rests_on(client: Client, user: User, happen: Callable[[Client, User], None]) -> None:
    user.user_permissions.add(Permission.objects.get(codename="view_channel"))
    claim = SessionClaim(client.session.session_key, user.pk, "eventcast.view_channel")
    assert SessionClaim.lapsed([claim]) == []
    happen(client, user)
    assert SessionClaim.lapsed([claim]) == [claim]


@pytest.mark.parametrize(("happen", "lapsed"), [(nothing, False), (deactivate, True), (delete, True)])
def test_claim_of_a_user_without_session_lapses_with_the_user(
    client: Client, user: User, happen: Callable[[Client, User], None], lapsed: bool
) -> None:
    claim = SessionClaim(None, user.pk, "authenticated")
    happen(client, user)
    assert bool(SessionClaim.lapsed([claim])) is lapsed


def test_session_of_another_user_by_now_is_a_lapsed_claim(client: Client, user: User) -> None:
    claim = SessionClaim(client.session.session_key, user.pk + 1, "authenticated")
    assert SessionClaim.lapsed([claim]) == [claim]


def test_change_of_the_secret_key_leaves_the_session_as_it_is(client: Client) -> None:
    key = client.session.session_key
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert isinstance(ask(with_cookie(client), "/chat/a"), Permit)
        assert client.session.session_key == key
        assert isinstance(ask(with_cookie(client), "/chat/a"), Permit)


def test_session_key_is_not_shown(client: Client) -> None:
    key = client.session.session_key
    assert str(key) not in repr(ask(with_cookie(client), "/chat/a"))
