"""Pages of one server that use another server, in Chromium: allowed and refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.conftest import LOOP, Visit
from tests.browser.test_client import NO_WEBSOCKETS, SAID, SEND, heard, is_open, open_page, say
from tests.live import servers
from tests.live.conftest import Connect, Fleet, Talk, check_log
from tests.live.servers import Server

pytestmark = LOOP


@pytest.fixture(scope="module")
def friend(tmp_path_factory: pytest.TempPathFactory, standalone_server: Server) -> Iterator[Server]:
    """A second server with another host name, which allows the origin of the first one."""
    fleet = Fleet(tmp_path_factory.mktemp("friend"))
    yield fleet.start(servers.daphne, env={"EVENTCAST_ALLOWED_ORIGINS": standalone_server.url})
    fleet.stop()


@pytest.fixture
def elsewhere(friend: Server) -> Iterator[Server]:
    yield friend
    check_log(friend)


def url(server: Server, channel: str, scheme: str = "http") -> str:
    return f"{scheme}://localhost:{server.port}{channel}"


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_client_takes_a_full_url(
    visit: Visit, server: Server, elsewhere: Server, channel: str, http: Talk, scheme: str
) -> None:
    page = await open_page(visit, server)
    await page.evaluate("url => { listen(url); }", url(elsewhere, channel, scheme) + "#part")
    await is_open(page)
    await http(elsewhere).post(channel, "hello")
    assert await heard(page, 1) == ["hello"]


async def test_page_imports_the_module_from_elsewhere(visit: Visit, server: Server, elsewhere: Server) -> None:
    script = url(elsewhere, "/static/eventcast/eventcast.esm.js")
    html = f'<!doctype html><script type="module">import it from "{script}"; globalThis.kind = typeof it</script>'
    page = await visit(f"{server.url}/page", html=html)
    await page.wait_for_function("globalThis.kind == 'function'")


async def test_client_listens_elsewhere_by_a_stream(
    visit: Visit, server: Server, elsewhere: Server, channel: str, http: Talk
) -> None:
    page = await open_page(visit, server, before=NO_WEBSOCKETS)
    await page.evaluate("url => { listen(url); }", url(elsewhere, channel))
    await is_open(page, "stream")
    await say(http(elsewhere), channel)
    assert await heard(page, 4) == SAID


async def test_send_publishes_elsewhere_and_reads_the_answer(
    visit: Visit, server: Server, elsewhere: Server, channel: str, connect: Connect
) -> None:
    page = await open_page(visit, server)
    client = await connect(elsewhere, channel)
    answers = await page.evaluate(
        """async url => {
        const answers = [];
        for (const data of ["张三", { a: 1 }, new Uint8Array([0, 255])]) answers.push(await eventcast(url).send(data));
        return answers;
    }""",
        url(elsewhere, channel),
    )
    assert answers == [{"channel": channel, "messages": 1, "subscribers": 1}] * 3
    assert await client.receive_many(3) == ["张三", '{"a":1}', b"\x00\xff"]


async def test_send_that_is_refused_elsewhere_says_why(
    visit: Visit, server: Server, elsewhere: Server, channel: str
) -> None:
    page = await open_page(visit, server)
    error = await page.evaluate(SEND, [url(elsewhere, channel), "x" * 1_100_000])
    assert (error["status"], error["code"]) == (413, "message_too_large")


async def test_page_sends_the_headers_that_it_may(
    visit: Visit, server: Server, elsewhere: Server, channel: str
) -> None:
    page = await open_page(visit, server)
    script = """async url => {
        const headers = { "Authorization": "Bearer x", "X-API-Key": "x", "Content-Type": "application/json" };
        const put = await fetch(url, { method: "PUT", headers, body: "{}" });
        const traced = { "traceparent": "00-1-1-01", "tracestate": "a=1", "baggage": "a=1", "sentry-trace": "1-1-1" };
        const get = await fetch(url, { headers: { ...headers, ...traced, "Last-Event-ID": "1" } });
        return [put.status, get.status, (await get.json()).subscribers];
    }"""
    assert await page.evaluate(script, url(elsewhere, channel)) == [202, 200, 0]


# --- strangers: the same pages, and a server with an empty ALLOWED_ORIGINS --------------------------------------------

# Each way in which a page can make its browser send a POST request.
FORGERIES = {
    "send": "url => eventcast(url).send('forged').catch(() => 0)",
    "fetch": "url => fetch(url, { method: 'POST', body: 'forged' }).catch(() => 0)",
    "fetch without CORS": "url => fetch(url, { method: 'POST', mode: 'no-cors', body: 'forged' })",
    "beacon": "url => { navigator.sendBeacon(url, 'forged'); }",
    "form": """url => new Promise((resolve) => {
        document.body.innerHTML = '<iframe name=f></iframe><form target=f method=post><input name=data></form>';
        document.querySelector('iframe').onload = resolve;
        Object.assign(document.forms[0], { action: url }).submit();
    })""",
    "form of a page that hides itself": """url => new Promise((resolve) => {
        document.body.innerHTML = '<meta name=referrer content=no-referrer>' +
            '<iframe name=f></iframe><form target=f method=post><input name=data></form>';
        document.querySelector('iframe').onload = resolve;
        Object.assign(document.forms[0], { action: url }).submit();
    })""",
}


@pytest.mark.parametrize("way", FORGERIES)
async def test_stranger_publishes_nothing(
    visit: Visit, server: Server, channel: str, connect: Connect, http: Talk, way: str
) -> None:
    page = await open_page(visit, server)
    client, since = await connect(server, channel), len(server.log)
    await page.evaluate(FORGERIES[way], url(server, channel))
    server.wait_for_log("403 origin_not_allowed", since=since)
    await http(server).post(channel, "the next")
    assert await client.receive() == "the next"


async def test_stranger_hears_nothing(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_page(visit, server)
    await page.evaluate("url => { listen(url); }", url(server, channel))
    await page.wait_for_function("states.at(-1)?.state == 'waiting'")
    assert [state["state"] for state in await page.evaluate("states")] == ["connecting", "connecting", "waiting"]
    assert await http(server).count(channel) == 0


async def test_stranger_reads_nothing(visit: Visit, server: Server, channel: str) -> None:
    page = await open_page(visit, server)
    script = "url => fetch(url).then(() => 'read', ({ name }) => name)"
    assert await page.evaluate(script, url(server, channel)) == "TypeError"
    assert await page.evaluate(script, url(server, "/-/channels")) == "TypeError"
