"""An existing site takes eventcast in with three edits, and everything it had goes on working."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator

import pytest

from tests.live import servers
from tests.live.clients import HandshakeRefused
from tests.live.conftest import Connect, Fleet, Start, Talk, check_log
from tests.live.http_client import HTTP
from tests.live.servers import Server

FORM = ("Content-Type", "application/x-www-form-urlencoded")


@pytest.fixture(scope="module", params=["tests.site.settings", "tests.live.site_settings"])
def shared_site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    fleet = Fleet(tmp_path_factory.mktemp("site"))
    env = {"DJANGO_SETTINGS_MODULE": request.param}
    yield fleet.start(servers.daphne, application=servers.SITE, env=env)
    fleet.stop()


@pytest.fixture
def site(shared_site: Server) -> Iterator[Server]:
    """The site under daphne, once with the layer it has and once with ours."""
    yield shared_site
    check_log(shared_site)


async def test_pages_of_the_site_still_work(site: Server, http: Talk) -> None:
    visitor = http(site)
    assert (await visitor.request("GET", "/")).body == b"the shop's home page"
    assert (await visitor.request("GET", "/nothing/here/")).status == 404
    # APPEND_SLASH is on in this site.
    redirect = await visitor.request("GET", "/visits")
    assert (redirect.status, redirect.headers["location"]) == (301, "/visits/")


async def test_sessions_of_the_site_still_work(site: Server, http: Talk) -> None:
    visitor = http(site)
    first = await visitor.request("GET", "/visits/")
    cookie = first.headers["set-cookie"].partition(";")[0]
    assert (first.body, (await visitor.request("GET", "/visits/", headers=[("Cookie", cookie)])).body) == (b"1", b"2")


async def test_csrf_protection_of_the_site_still_works(site: Server, http: Talk) -> None:
    visitor = http(site)
    page = await visitor.request("GET", "/guestbook/")
    cookie, token = page.headers["set-cookie"].partition(";")[0], page.body.decode()
    refused = await visitor.request("POST", "/guestbook/", b"name=me", [FORM, ("Cookie", cookie)])
    assert refused.status == 403
    headers = [FORM, ("Cookie", cookie), ("X-CSRFToken", token)]
    assert (await visitor.request("POST", "/guestbook/", b"name=me", headers)).body == b"thank you, me"


async def test_sockets_of_the_site_still_work(site: Server, connect: Connect) -> None:
    client = await connect(site, "/ws/echo/")
    client.send_frame(1, b"hello")
    assert await client.receive_many(2) == ["AnonymousUser", "hello"]


async def test_channels_live_under_the_mount(site: Server, channel: str, connect: Connect, http: Talk) -> None:
    listener, speaker = await connect(site, f"/live{channel}"), http(site)
    answer = await speaker.post(f"/live{channel}", "hello")
    assert (answer.status, answer.json()) == (201, {"channel": f"/live{channel}", "messages": 1, "subscribers": 1})
    # No trailing slash is added on the way, and no CSRF token is asked for.
    answer = await speaker.request("POST", f"/live{channel}", b"data=from+a+form", [FORM, ("Cookie", "csrftoken=x")])
    assert answer.status == 201
    assert (await speaker.post(f"/live{channel}/", "elsewhere")).status == 202
    assert await speaker.count(f"/live{channel}") == 1
    assert await listener.receive_many(2) == ["hello", "from a form"]
    listed = (await speaker.request("GET", f"/live/-/channels?prefix=/live{channel}")).json()
    assert [(info["channel"], info["subscribers"]) for info in listed["channels"]] == [(f"/live{channel}", 1)]


@pytest.mark.parametrize(
    "target", ["/live/", "/live/a%2Fb", "/live//a;b", "/live/a%0Ab", "/live/%E5%BC%A0", "/live/live/x"]
)
async def test_path_under_the_mount_means_the_same(target: str, site: Server, connect: Connect, http: Talk) -> None:
    listener = await connect(site, target)
    assert (await http(site).post(target, "hello")).status == 201
    assert await listener.receive() == "hello"


@pytest.mark.parametrize("target", ["/live/-/x", "/live//-/x", "/live/%FF", "/live/" + "x" * 1024])
async def test_path_under_the_mount_is_refused_alike(target: str, site: Server, connect: Connect, http: Talk) -> None:
    answer = await http(site).post(target, "hello")
    with pytest.raises(HandshakeRefused) as refused:
        await connect(site, target)
    assert (refused.value.status, refused.value.error) == (answer.status, answer.error)


async def test_path_outside_the_mount_is_no_channel(site: Server, connect: Connect, http: Talk) -> None:
    site.allows_tracebacks = True  # Channels' router logs one for a path that it doesn't have.
    targets = ["//live/a", "//x/live/a", "/live;x/a", "/LIVE/a", "/a/../live/a", "/x/live/a"]
    answers = await asyncio.gather(*(http(site).post(target, "hello") for target in targets))
    assert {answer.status for answer in answers} <= {403, 404}
    # At once, since Daphne takes a second to refuse each.
    refusals = await asyncio.gather(*(connect(site, target) for target in targets), return_exceptions=True)
    assert [type(refusal) for refusal in refusals] == [HandshakeRefused] * len(targets)
    assert (await http(site).request("GET", "/live/-/channels?prefix=/live/a")).json()["channels"] == []


@pytest.mark.parametrize(
    ("method", "target"), [("POST", "a"), ("GET", "a"), ("GET", "-/channels"), ("GET", "-/metrics")]
)
async def test_root_path_of_a_client_is_no_way_around_the_mount(
    method: str, target: str, site: Server, http: Talk
) -> None:
    headers = [("Daphne-Root-Path", "/live/orders")]
    answer = await http(site).request(method, f"/live/orders/live/{target}", headers=headers)
    assert (answer.status, answer.error) == (404, "reserved_path")


async def test_root_path_of_a_client_is_no_way_around_the_mount_for_a_socket(site: Server, connect: Connect) -> None:
    with pytest.raises(HandshakeRefused) as refused:
        await connect(site, "/live/orders/live/a", headers=[("Daphne-Root-Path", "/live/orders")])
    assert (refused.value.status, refused.value.error) == (404, "reserved_path")


async def test_serve_knows_no_root_path_of_a_client(start: Start, connect: Connect, http: Talk) -> None:
    server = start(servers.serve, env={"DJANGO_SETTINGS_MODULE": "tests.site.settings"})
    headers = [("Daphne-Root-Path", "/live")]
    await connect(server, "/live/a", headers=headers)
    answer = await http(server).request("GET", "/live/-/channels", headers=headers)
    assert [info["channel"] for info in answer.json()["channels"]] == ["/live/a"]


async def test_site_publishes_from_wherever_it_is(site: Server, connect: Connect, http: Talk) -> None:
    listener, service = await connect(site, "/live/orders/42"), http(site)
    for action in ("pay", "pack", "deliver"):
        answer = await service.request("POST", f"/orders/42/{action}/")
        assert (answer.status, answer.json()) == (200, {"subscribers": 1})
    assert (await service.request("POST", "/orders/42/ship/?lost=1")).status == 200
    assert (await service.request("POST", "/orders/42/ship/")).status == 200
    found = [json.loads(message) for message in await listener.receive_many(4)]
    assert found == [{"paid": 42}, {"packed": 42}, {"delivered": 42}, {"shipped": 42}]
    await listener.ping()
    assert not listener.messages


async def test_publishes_of_many_views_at_once_all_arrive(site: Server, connect: Connect, http: Talk) -> None:
    listener, each = await connect(site, "/live/orders/43"), 20

    async def act(service: HTTP, action: str) -> None:
        for _ in range(each):
            assert (await service.request("POST", f"/orders/43/{action}/")).status == 200

    actions = ["pay", "pack", "deliver", "ship"]
    await asyncio.gather(*(act(http(site), action) for action in actions * 2))
    found = [re.sub(r"\W|\d", "", str(message)) for message in await listener.receive_many(each * 8)]
    assert {word: found.count(word) for word in set(found)} == dict.fromkeys(
        ("paid", "packed", "delivered", "shipped"), each * 2
    )


async def test_all_listeners_of_the_site_hear(site: Server, channel: str, connect: Connect, http: Talk) -> None:
    listeners = await asyncio.gather(*(connect(site, f"/live{channel}") for _ in range(50)))
    speaker = http(site)
    for number in range(50):
        assert (await speaker.post(f"/live{channel}", str(number))).json()["subscribers"] == 50
    for listener in listeners:
        assert await listener.receive_many(50) == [str(number) for number in range(50)]
    await asyncio.gather(*(listener.leave() for listener in listeners))
    await speaker.wait_for_count(f"/live{channel}", 0)
