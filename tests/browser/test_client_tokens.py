"""The tokens of eventcast.js in Chromium: sent, kept and renewed."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.template import Context, Template
from playwright.async_api import Route

from eventcast.authorization import token
from tests.browser.conftest import LOOP, Visit
from tests.browser.test_client import CLASSIC, NO_WEBSOCKETS, SAID, heard, is_open, open_page, open_still_page
from tests.browser.test_client_lines import V1
from tests.live import servers
from tests.live.conftest import Start, Talk
from tests.live.servers import Server
from tests.live.waiting import until

pytestmark = LOOP


@pytest.mark.parametrize(("before", "transport"), [("", "websocket"), (NO_WEBSOCKETS, "stream")])
async def test_client_sends_its_token(visit: Visit, start: Start, channel: str, before: str, transport: str) -> None:
    closed = {"EVENTCAST_AUTHORIZATION": "eventcast.authorization.Tokens", "DJANGO_SECRET_KEY": settings.SECRET_KEY}
    server = start(servers.daphne, env=closed, access_log=True)
    page = await open_page(visit, server, before=before)
    mine = token(subscribe=channel, publish=channel)
    script = "([path, token]) => { globalThis.it = listen(path, { token: async () => token }); }"
    await page.evaluate(script, [channel, mine])
    await is_open(page, transport)
    assert (await page.evaluate("it.send('张三\\n<b>')"))["subscribers"] == 1
    await page.evaluate("it.send(new Uint8Array([0, 255]))")
    assert await heard(page, 2) == SAID[:2]
    assert mine not in server.log


async def test_client_without_a_token_is_told_that_it_has_none(visit: Visit, server: Server, channel: str) -> None:
    page = await open_page(visit, server)
    await page.evaluate("path => { listen(path, { token: () => Promise.reject(Error('log in')) }); }", channel)
    await page.wait_for_function("errors.length")
    assert await page.evaluate("[errors[0].message, errors[0].code]") == ["log in", 1006]


async def test_channel_without_a_token_does_not_take_away_that_of_another(visit: Visit, server: Server) -> None:
    page = await open_page(visit, server, before=V1)
    await page.evaluate("""() => {
        eventcast("/a").on(() => 0);
        listen("/a", { token: "mine" });
    }""")
    assert await page.evaluate("sockets.map(({ offered, closed }) => [offered.at(-1), closed ?? false])") == [
        ["eventcast", True],
        ["eventcast.token.mine", False],
    ]
    await page.evaluate("() => { eventcast('/a', { token: 'another' }).on(() => 0).close(); }")
    await page.evaluate("() => { sockets[1].end(); dispatchEvent(new Event('online')); }")
    assert await page.evaluate("sockets.map(({ offered }) => offered.at(-1)).slice(1)") == ["eventcast.token.mine"] * 2


async def test_token_is_renewed_without_a_gap(visit: Visit, server: Server) -> None:
    page = await open_still_page(visit, server, before=V1)
    await page.evaluate("""async () => {
        let number = 0;
        listen("/a", { token: async () => "t" + ++number });
        await 0; await 0; await 0;
        sockets[0].onopen();
        sockets[0].say({ ...hello, expires: 40 }, { time: 1, data: "one" });
    }""")
    await page.clock.run_for(19_000)
    assert await page.evaluate("sockets.length") == 1
    await page.clock.run_for(2_000)
    assert await page.evaluate("[sockets.length, sockets[1].offered.at(-1)]") == [2, "eventcast.token.t2"]
    await page.evaluate("""() => {
        const [before, after] = sockets, both = [{ time: 3, data: "three" }, { time: 4, data: "four" }];
        after.onopen();
        after.say({ ...hello, expires: 40 }, { time: 2.5, data: "an old snapshot" }, ...both);
        before.say({ time: 2, data: "two" }, ...both);
        after.say({ time: 5, data: "five" });
    }""")
    await page.clock.run_for(2_000)
    assert await page.evaluate("[sockets[0].closed, sockets[1].closed ?? false]") == [True, False]
    await page.evaluate("sockets[1].say({ time: 6, data: 'six' })")
    assert await page.evaluate("heard") == ["one", "two", "three", "four", "five", "six"]
    assert await page.evaluate("states.map(({ state }) => state)") == ["connecting", "open"]


async def test_new_connection_that_is_late_tells_nothing_twice(visit: Visit, server: Server) -> None:
    page = await open_still_page(visit, server, before=V1)
    await page.evaluate("""async () => {
        let number = 0;
        listen("/a", { token: async () => "t" + ++number });
        await 0; await 0; await 0;
        sockets[0].onopen();
        sockets[0].say({ ...hello, expires: 40 });
    }""")
    await page.clock.run_for(21_000)
    await page.evaluate("""() => {
        sockets[1].onopen();
        sockets[1].say(hello);
        sockets[0].say({ time: 1, data: "one" });
    }""")
    await page.clock.run_for(2_000)
    await page.evaluate("sockets[1].say({ time: 1, data: 'one' }, { time: 2, data: 'two' })")
    assert await page.evaluate("heard") == ["one", "two"]


async def test_new_connection_that_ends_at_once_does_not_take_the_old_one_along(visit: Visit, server: Server) -> None:
    page = await open_still_page(visit, server, before=V1)
    await page.evaluate("""async () => {
        let number = 0;
        listen("/a", { token: async () => "t" + ++number });
        await 0; await 0; await 0;
        sockets[0].onopen();
        sockets[0].say({ ...hello, expires: 40 });
    }""")
    await page.clock.run_for(21_000)
    await page.evaluate("() => { sockets[1].onopen(); sockets[1].say(hello); sockets[1].end(); }")
    await page.clock.run_for(3_000)
    await page.evaluate("sockets[0].say({ time: 1, data: 'one' })")
    assert await page.evaluate("[sockets[0].closed ?? false, heard, states.at(-1).state]") == [False, ["one"], "open"]


async def test_page_of_a_site_renews_the_token_that_its_template_gave_it(
    visit: Visit, start: Start, channel: str, http: Talk
) -> None:
    closed = {"EVENTCAST_AUTHORIZATION": "eventcast.authorization.Tokens", "DJANGO_SECRET_KEY": settings.SECRET_KEY}
    server = start(servers.daphne, env=closed)
    source = """
        {% load eventcast %}{% eventcast_script %}
        {% eventcast_token_script subscribe=channel renew="/my-token" expires_in=10 %}
        <script nonce="{{ csp_nonce }}">
            const heard = [], states = [];
            function begin() {
                eventcast("{{ channel }}", { token: eventcastToken })
                    .on((data) => heard.push(data)).on("state", (state) => states.push(state));
            }
        </script>"""
    html = Template(source).render(Context({"channel": channel, "csp_nonce": "n0nce"}))
    policy = {"Content-Security-Policy": "script-src 'nonce-n0nce'; connect-src 'self' ws:"}
    page = await visit(f"{server.url}/page", html=html, headers=policy)
    renewed: list[str] = []

    async def renew(route: Route) -> None:
        renewed.append(token(subscribe=channel, expires_in=10))
        await route.fulfill(body=renewed[-1], content_type="text/plain")

    await page.route("**/my-token", renew)
    await page.evaluate("begin()")
    await until(lambda: len(renewed) > 1, "the token of the page, and another, are over")
    headers = [("Content-Type", "text/plain"), ("Authorization", f"Bearer {token(publish=channel)}")]
    assert (await http(server).request("POST", channel, b"still here", headers)).status == 201
    await until(lambda: page.evaluate("heard.length"), "the message")
    assert await page.evaluate("[heard, states]") == [["still here"], ["connecting", "open"]]


async def test_element_takes_a_token(visit: Visit, server: Server) -> None:
    element = '<script src="/static/eventcast/event-cast.js"></script><event-cast path="/a" token="one"></event-cast>'
    page = await open_page(visit, server, html=CLASSIC + element, before=V1)
    await page.evaluate("document.querySelector('event-cast').setAttribute('token', 'two')")
    await page.evaluate("() => { sockets.at(-1).end(); dispatchEvent(new Event('online')); }")
    assert await page.evaluate("[sockets[0], sockets.at(-1)].map(({ offered }) => offered.at(-1))") == [
        "eventcast.token.one",
        "eventcast.token.two",
    ]


async def test_token_that_stays_the_same_is_not_sent_again(visit: Visit, server: Server) -> None:
    page = await open_still_page(visit, server, before=V1)
    await page.evaluate("""async () => {
        listen("/a", { token: async () => "mine" });
        await 0; await 0; await 0;
        sockets[0].onopen();
        sockets[0].say({ ...hello, expires: 10 });
    }""")
    await page.clock.run_for(20_000)
    assert await page.evaluate("sockets.length") == 1
