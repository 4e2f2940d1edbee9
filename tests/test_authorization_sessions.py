"""The users of a site: what their sessions let them do, and when that is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.test import Client, RequestFactory, override_settings

import eventcast
from eventcast.authorization import Permit, SessionClaim
from eventcast.engine import patterns
from eventcast.exceptions import Refused
from eventcast.testing import capture
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


# --- channels of one's own --------------------------------------------------------------------------------------------

OWN = [
    {"path": "/users/<user.pk>/<path:any>", "subscribe": "owner", "publish": "staff"},
    {"path": "/live/u-<user.pk>", "subscribe": "owner"},
]


def owned(**also: Any) -> Any:
    configured = {"AUTHORIZATION": "eventcast.authorization.Sessions", "SESSIONS": OWN, **also}
    return override_settings(EVENTCAST=configured)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("/users/{}/orders", 0),
        ("/users/{}/a/b", 0),
        ("/users/0{}/orders", 403),
        ("/users/{}0/orders", 403),
        ("/users/{}", 403),
        ("/live/u-{}", 0),
        (patterns.parse("/users/<x>/orders"), 403),
        (patterns.parse("/users/<path:x>"), 403),
    ],
)
@owned()
def test_owner_is_the_user_that_the_path_names(client: Client, user: User, wanted: Any, expected: int) -> None:
    wanted = wanted.format(user.pk) if isinstance(wanted, str) else wanted
    found = ask(with_cookie(client), wanted)
    assert (0 if isinstance(found, Permit) else found) == expected


@owned()
def test_owner_may_listen_by_a_pattern_of_its_own_channels(client: Client, user: User) -> None:
    found = ask(with_cookie(client), patterns.parse(f"/users/{user.pk}/<path:x>"))
    assert isinstance(found, Permit)
    assert found.claims == (SessionClaim(client.session.session_key, user.pk, "authenticated"),)
    assert ask(with_cookie(client), patterns.parse(f"/users/{user.pk + 1}/<path:x>")) == 403


@pytest.mark.parametrize("key", ["a/b", "<path:x>", "<x>"])
@owned()
def test_primary_key_that_means_something_in_a_path_owns_nothing(key: str) -> None:
    someone = User(username="zhang")
    someone.pk = key
    assert ask(with_user(someone), "/users/a/b") == 403
    with pytest.raises(ImproperlyConfigured):
        eventcast.publish_to(someone, "orders", 1)


@owned()
@pytest.mark.parametrize(
    ("name", "channel"), [("orders", "/users/7/orders"), ("a/b", "/users/7/a/b"), ("", "/live/u-7")]
)
async def test_publish_to_publishes_on_the_users_own_channel(name: str, channel: str) -> None:
    with capture() as outbox:
        eventcast.publish_to(User(pk=7), name, {"id": 1})
        await eventcast.apublish_to(User(pk=7), name, "two")
    assert [(each.channel, each.data) for each in outbox] == [(channel, '{"id":1}'), (channel, "two")]


@owned()
@pytest.mark.parametrize("stranger", [AnonymousUser(), User(username="unsaved"), "zhang"])
def test_publish_to_a_user_without_a_primary_key_is_an_error(stranger: Any) -> None:
    with pytest.raises(ValueError, match="primary key"):
        eventcast.publish_to(stranger, "orders", 1)


@pytest.mark.parametrize("entries", [[], SESSIONS, [{"path": "/u/<user.pk>/orders", "subscribe": "owner"}]])
def test_publish_to_without_a_path_for_users_says_what_to_add(entries: Any) -> None:
    with owned(SESSIONS=entries), pytest.raises(ImproperlyConfigured, match=r"/users/<user\.pk>/<path:any>"):
        eventcast.publish_to(User(pk=7), "news", 1)
