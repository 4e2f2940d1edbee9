"""The users of the site, known by their sessions, what each may do, and the channels of their own."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from eventcast.conf import conf
from eventcast.engine import patterns, publishing
from eventcast.engine.patterns import Pattern
from eventcast.exceptions import Forbidden, Unauthorized
from eventcast.security import users
from eventcast.security.authorization import grants
from eventcast.security.authorization.base import Action, Authorization, ByAction, described
from eventcast.security.authorization.permits import Permit
from eventcast.security.users import AUTHENTICATED, STAFF, SessionClaim

ANYBODY, OWNER = "anybody", "owner"
"""Requirements that are not about a user alone: none, and to be the user that the path names."""

WORDS = (None, ANYBODY, AUTHENTICATED, STAFF, OWNER)
FIELDS = ("path", "publish", "subscribe")
USER, ANY_USER = "<user.pk>", "<str:user_pk>"
"""Stands in the path of an entry for the primary key of the user that the channels are for; and what that matches."""


class Entry(NamedTuple):
    """The requirements on a user on some paths; no user meets None."""

    path: str
    publish: str | None
    subscribe: str | None

    def own(self, user: Any) -> Pattern | None:
        """The pattern of the user's own channels; None where the primary key cannot stand in a path."""
        key = str(user.pk)
        return None if set(key) & set("<>/") else patterns.parse(self.path.replace(USER, key))

    def allows(self, user: Any, action: Action, wanted: str | Pattern) -> bool:
        """Whether a user that is logged in meets the requirement."""
        requirement: str | None = getattr(self, action)
        if requirement == OWNER:
            return (own := self.own(user)) is not None and grants.covers(own, wanted)
        return requirement == ANYBODY or users.meets(user, requirement)


class LoggedOut(Unauthorized):
    """Raised when a request comes without the session of a user."""

    # HTTP has no scheme for a cookie; one that browsers know would make them ask for a password.
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Session realm="eventcast"'}


class Sessions(ByAction):
    """A user that is logged in to the site may do what ``EVENTCAST["SESSIONS"]`` says: the first entry that matches the
    path counts. A path that no entry matches is closed."""

    uses_cookies = True

    def __init__(self) -> None:
        self._entries = _entries()

    def permit(self, action: Action, request: HttpRequest, wanted: str | Pattern) -> Permit:
        """The permit of a user that may do this."""
        entries = grants.deciding(self._entries, wanted)
        required = {getattr(entry, action) for entry in entries}
        if required == {ANYBODY}:
            return Permit()
        user, session_key = users.logged_in(request)
        if user is None:
            raise LoggedOut("Log in: no session of a user came with the request.")
        if not entries or not all(entry.allows(user, action, wanted) for entry in entries):
            raise Forbidden(
                "The user {user!r:.100} may not {action}.", user=user.get_username(), action=described(action, wanted)
            )
        # The owner stays the owner while it is logged in.
        lasting = {AUTHENTICATED if each == OWNER else each for each in required - {ANYBODY}}
        claims = tuple(SessionClaim(session_key, user.pk, each) for each in lasting)
        return Permit(user.get_username(), claims=claims, identity=users.identity_of(user))

    @classmethod
    def problems(cls) -> list[str]:
        """What is wrong with ``EVENTCAST["SESSIONS"]``."""
        return grants.problems_of_entries("SESSIONS", conf.SESSIONS, _problems, FIELDS)


class Viewers(Authorization):
    """A user that sees the channels in an admin site may watch each of them there, whatever ``AUTHORIZATION`` says."""

    def can_subscribe(self, request: HttpRequest, channel: str) -> bool:
        """Whether an admin site would show its user the channel's page."""
        if not apps.is_installed("django.contrib.admin"):
            return False
        from django.contrib.admin.sites import all_sites

        channels = apps.get_model("eventcast", "Channel")
        return any(
            site.has_permission(request) and site.get_model_admin(channels).has_view_permission(request)
            for site in list(all_sites)
            if site.is_registered(channels)
        )


def publish_to(user: Any, name: str, data: Any, **options: Any) -> int | None:
    """Publish on a user's own channel: below the first path with ``<user.pk>`` in ``EVENTCAST["SESSIONS"]``.

    With ``{"path": "/users/<user.pk>/<path:any>", "subscribe": "owner"}``, ``publish_to(user, "orders", …)`` publishes
    on ``/users/42/orders``.

    :param user: a user object with a primary key.
    :param name: the rest of the channel's name; empty where the path ends with the user.
    :param options: ``on_commit`` and the others of :func:`eventcast.publish`, which also says what is returned.
    :raises ImproperlyConfigured: no path in ``SESSIONS`` has ``<user.pk>`` in it and room for the name.
    :raises ValueError: the user has no primary key, and so no channel.
    :raises InvalidChannel, InvalidMessage, MessageTooLarge, LayerUnavailable: as :func:`eventcast.publish`.
    """
    return publishing.publish(own_channel(user, name), data, **options)


async def apublish_to(user: Any, name: str, data: Any, **options: Any) -> int | None:
    """The same as :func:`publish_to`, to be awaited, as :func:`eventcast.apublish`."""
    return await publishing.apublish(own_channel(user, name), data, **options)


def own_channel(user: Any, name: str) -> str:
    """The name of a user's own channel, as for :func:`publish_to`."""
    if getattr(user, "pk", None) is None:
        raise ValueError(f"The user {user!r:.100} has no primary key, and so no channel: is it logged in, and saved?")
    for _, entry in _entries():
        before, found, after = entry.path.partition(USER)
        own = entry.own(user) if found else None
        channel = f"{before}{user.pk}{after.partition('/')[0]}" + (f"/{name}" if name else "")
        if own is not None and own.matches(channel):
            return channel
    raise ImproperlyConfigured(
        f"No path in EVENTCAST['SESSIONS'] gives a user a channel {name!r:.100}: add "
        f"{{'path': '/users/{USER}/<path:any>', 'subscribe': 'owner'}}, with the site's mount before '/users'."
    )


def _entries() -> list[tuple[Pattern, Entry]]:
    entries = [Entry(each["path"], each.get("publish"), each.get("subscribe")) for each in conf.SESSIONS]
    return [(patterns.parse(entry.path.replace(USER, ANY_USER)), entry) for entry in entries]


def _problems(entry: Any) -> list[str]:
    path = entry.get("path")
    found = grants.problems([path.replace(USER, ANY_USER) if isinstance(path, str) else path])
    for action in ("publish", "subscribe"):
        value = entry.get(action)
        if value == OWNER and USER not in str(path):
            found.append(f"{action!r} is {OWNER!r}, so {USER} has to stand in the path.")
        elif value not in WORDS and not (isinstance(value, str) and value.count(".") == 1):
            found.append(f"{action!r} is one of {', '.join(WORDS[1:])}, or a permission such as 'shop.view_order'.")
    return found
