"""Permission that is taken away, and the subscribers that this closes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.signals import user_logged_out
from django.test import override_settings

import eventcast
from eventcast.authorization import Claim, Permit, SessionClaim
from eventcast.engine import patterns
from eventcast.engine.hub import current_hub
from eventcast.exceptions import InvalidChannel
from eventcast.security import revocation
from tests.fakes import FakeSubscriber, until


@dataclass(frozen=True)
class Badge(Claim):
    """A claim that lapses when the test says so."""

    name: str
    taken: ClassVar[set[str]] = set()
    asked: ClassVar[list[int]] = []
    broken: ClassVar[bool] = False

    @classmethod
    def lapsed(cls, claims: Sequence[Badge]) -> Collection[Badge]:
        cls.asked.append(len(claims))
        if cls.broken:
            raise ConnectionError("the database is down")
        return [claim for claim in claims if claim.name in cls.taken]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "TICK", 0.01)
    Badge.taken, Badge.asked, Badge.broken = set(), [], False


async def enter(wanted: Any = "/a", permit: Permit = Permit(), user: str = "") -> FakeSubscriber:  # noqa: B008
    """A subscriber comes, let in by a permit."""
    subscriber = FakeSubscriber(user=user or permit.user, identity=permit.identity)
    await current_hub().subscribe(wanted, subscriber)
    revocation.watch(current_hub(), wanted, subscriber, permit)
    return subscriber


def leave(*subscribers: FakeSubscriber) -> None:
    for subscriber in subscribers:
        current_hub().unsubscribe(subscriber)


def closed(subscriber: FakeSubscriber) -> int | None:
    return subscriber.close_code if subscriber.closed else None


async def test_subscriber_is_closed_when_its_permit_expires() -> None:
    permit, later = Permit(expires_at=time.time() - 1), Permit(expires_at=time.time() + 3600)
    gone, staying = await enter(permit=permit), await enter(permit=later)
    await until(lambda: closed(gone) == 3000)
    assert gone.channel is None
    assert closed(staying) is None
    leave(gone)
    leave(staying)


async def test_timer_is_set_anew_for_a_permit_that_expires_before() -> None:
    later, sooner = Permit(expires_at=time.time() + 3600), Permit(expires_at=time.time() - 1)
    staying = await enter(permit=later)
    gone = await enter(permit=sooner)
    await until(lambda: closed(gone))
    leave(gone)
    leave(staying)


async def test_nothing_is_kept_of_a_subscriber_that_left() -> None:
    permit = Permit(expires_at=time.time() + 3600, claims=(Badge("a"),))
    for _ in range(3):
        leave(await enter(permit=permit))
    watching = revocation._watches[current_hub()]
    assert (watching._ending, watching._permits, watching._timer) == ({}, {}, None)


async def test_permit_without_an_end_is_not_watched() -> None:
    subscriber = await enter()
    assert current_hub() not in revocation._watches
    leave(subscriber)


async def test_subscribers_are_closed_when_a_claim_lapses() -> None:
    good, bad = Permit(claims=(Badge("good"),)), Permit(claims=(Badge("good"), Badge("bad")))
    staying, one, two = await enter(permit=good), await enter(permit=bad), await enter(permit=bad)
    with override_settings(EVENTCAST={"RECHECK_INTERVAL": 1}):
        Badge.taken = {"bad"}
        await until(lambda: closed(one) and closed(two))
    assert closed(staying) is None
    leave(one, two)
    leave(staying)


async def test_equal_claims_are_asked_about_once() -> None:
    permit = Permit(claims=(Badge("same"),))
    everyone = [await enter(permit=permit) for _ in range(20)]
    await until(lambda: len(Badge.asked) >= 2)
    assert set(Badge.asked) == {1}
    leave(*everyone)


async def test_claims_are_asked_about_in_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    permits = [Permit(claims=(Badge(str(number)),)) for number in range(10)]
    everyone = [await enter(permit=permit) for permit in permits]
    monkeypatch.setattr(revocation, "TICK", 0.2)
    with override_settings(EVENTCAST={"RECHECK_INTERVAL": 1}):
        revocation._watches[current_hub()]._round = []
        await until(lambda: len(Badge.asked) >= 2)
    leave(*everyone)
    assert max(Badge.asked) < 10


async def test_no_subscriber_is_closed_while_rechecking_fails(caplog: pytest.LogCaptureFixture) -> None:
    permit = Permit(claims=(Badge("bad"),))
    subscriber = await enter(permit=permit)
    Badge.broken, Badge.taken = True, {"bad"}
    await until(lambda: len(Badge.asked) >= 2)
    assert closed(subscriber) is None
    Badge.broken = False
    await until(lambda: closed(subscriber))
    assert "Rechecking 1 permissions failed" in caplog.text
    leave(subscriber)


async def test_session_that_logs_out_is_closed_at_once_and_no_other() -> None:
    mine, other = (Permit(claims=(SessionClaim(key, 1, "authenticated"),)) for key in ("mine", "other"))
    gone, staying = await enter(permit=mine), await enter(permit=other)
    request = type("Request", (), {"session": type("Session", (), {"session_key": "mine"})})
    # As from the thread of a view.
    await asyncio.to_thread(user_logged_out.send, sender=None, request=request, user=None)
    await until(lambda: closed(gone) == 3000)
    assert closed(staying) is None
    leave(gone)
    leave(staying)


# --- on purpose -------------------------------------------------------------------------------------------------------

ALL_BELOW = patterns.parse("/a/<path:x>")


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"channel": "/a/1"}, "exact1 exact2 pattern"),
        ({"channel": "/a/2"}, "pattern"),
        ({"user": "zhang"}, "exact1 elsewhere"),
        ({"channel": "/a/1", "user": "zhang"}, "exact1"),
        ({"channel": "/a/<int:x>"}, "exact1 exact2"),
        ({"channel": "/a/<path:y>"}, "exact1 exact2 pattern"),
        ({"channel": "/<path:y>", "user": "li"}, "exact2"),
        ({"channel": "/a<b><c>"}, ""),
    ],
)
async def test_disconnect_closes_those_it_names(chosen: dict[str, Any], expected: str) -> None:
    places = {
        "exact1": ("/a/1", "zhang"),
        "exact2": ("/a/1", "li"),
        "pattern": (ALL_BELOW, ""),
        "elsewhere": ("/b", "zhang"),
    }
    found = {name: await enter(wanted, user=user) for name, (wanted, user) in places.items()}
    thread = threading.Thread(target=eventcast.disconnect, kwargs=chosen)
    thread.start()
    thread.join()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert " ".join(name for name, subscriber in found.items() if closed(subscriber) == 3000) == expected
    leave(*found.values())


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("zhang", "key token session other renamed name"),
        (User(pk=1, username="zhang"), "session renamed name"),
        (User(username="zhang"), "name"),
    ],
)
async def test_disconnect_takes_any_name_or_one_user(user: Any, expected: str) -> None:
    permits = {
        "key": Permit("zhang", identity="key zhang"),
        "token": Permit("zhang", identity="token zhang"),
        "session": Permit("zhang", identity="user 1"),
        "other": Permit("zhang", identity="user 2"),
        "renamed": Permit("zhang", identity="user 1"),
        "name": Permit("zhang"),
        "stranger": Permit("li", identity="user 3"),
        "unknown": Permit(),
    }
    found = {name: await enter(permit=permit) for name, permit in permits.items()}
    found["renamed"].user = "zhang" if user == "zhang" else "chang"
    eventcast.disconnect(user=user)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert " ".join(name for name, subscriber in found.items() if closed(subscriber)) == expected
    leave(*found.values())


@pytest.mark.parametrize("user", ["", AnonymousUser()])
@pytest.mark.parametrize("also", [{}, {"channel": "/a"}])
def test_disconnect_of_a_user_without_a_name_is_an_error(user: Any, also: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no name"):
        eventcast.disconnect(user=user, **also)


def test_disconnect_without_a_choice_is_an_error() -> None:
    with pytest.raises(ValueError, match="which subscribers"):
        eventcast.disconnect()


def test_disconnect_of_what_is_no_channel_is_an_error() -> None:
    with pytest.raises(InvalidChannel):
        eventcast.disconnect(channel="a")
