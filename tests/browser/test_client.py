"""eventcast.js in Chromium: listening, sending and reconnecting."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page

from eventcast.engine import names
from tests.browser.conftest import LOOP, Visit
from tests.live.conftest import Connect, Talk
from tests.live.http_client import HTTP
from tests.live.servers import Server

pytestmark = LOOP

CLASSIC = '<!doctype html><script src="/static/eventcast/eventcast.js"></script>'

# open(...) is eventcast(...) with all of its events recorded.
LISTENER = """
globalThis.heard = []; globalThis.states = []; globalThis.errors = [];
globalThis.listen = (url, options) => eventcast(url, options)
  .on((data) => heard.push(data))
  .on("state", (state, detail) => states.push({ state, ...detail }))
  .on("error", ({ message, code, data }) => errors.push({ message, code, data }))
  .on("lost", (what) => states.push({ lost: what }));
"""

# Fake WebSockets that the test controls, and nothing to fall back to.
SOCKETS = """
globalThis.sockets = [];
globalThis.WebSocket = class extends EventTarget {
  constructor(url, offered) { super(); this.url = url; this.offered = offered; sockets.push(this); }
  open() { this.onopen(); this.say({ type: "hello" }); }
  say(...frames) { for (const frame of frames) this.onmessage({ data: JSON.stringify(frame) }); }
  end(code = 1006, reason = "") { this.onclose({ code, reason }); }
  close() { this.closed = true; }
};
globalThis.fetch = undefined;
globalThis.queueMicrotask = (act) => act(); // a socket is there at once
"""

NO_WEBSOCKETS = """
globalThis.WebSocket = class extends EventTarget {
  constructor() { super(); setTimeout(() => this.onclose({ code: 1006, reason: "" })); }
  close() {}
};
"""


async def open_page(
    visit: Visit, server: Server, *, html: str = CLASSIC, before: str = "", clock: bool = False
) -> Page:
    return await visit(server.url + "/blank", html=html, before=LISTENER + before, clock=clock)


async def open_still_page(visit: Visit, server: Server, *, before: str) -> Page:
    """A page with a stopped clock: ``await page.clock.run_for(milliseconds)``."""
    page = await open_page(visit, server, before=before, clock=True)
    await page.clock.pause_at(60)
    return page


async def heard(page: Page, count: int) -> list[Any]:
    """The messages, as soon as there are ``count``."""
    await page.wait_for_function("count => heard.length >= count", arg=count)
    return list(await page.evaluate("heard.map((one) => one.byteLength >= 0 ? [...new Uint8Array(one)] : one)"))


async def is_open(page: Page, transport: str = "websocket") -> None:
    await page.wait_for_function(
        "transport => states.at(-1)?.transport == transport && states.at(-1).state == 'open'", arg=transport
    )


async def say(speaker: HTTP, target: str) -> None:
    await speaker.post(target, "张三\n<b>")
    await speaker.post(target, b"\x00\xff", "application/octet-stream")
    await speaker.post(target, '{"a": [1]}', "application/json")
    await speaker.post(target, "")


SAID = ["张三\n<b>", [0, 255], '{"a": [1]}', ""]


async def test_client_hears_text_and_binary(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_page(visit, server)
    await page.evaluate("path => { listen(path); }", channel)
    await is_open(page)
    await say(http(server), channel)
    assert await heard(page, 4) == SAID
    assert await page.evaluate("states") == [
        {"state": "connecting", "transport": "websocket"},
        {"state": "open", "transport": "websocket"},
    ]


@pytest.mark.parametrize("listen", ["listen(path, { json: true })", "listen(path).json()"])
async def test_client_decodes_json(visit: Visit, server: Server, channel: str, http: Talk, listen: str) -> None:
    page = await open_page(visit, server)
    await page.evaluate(f"path => {{ {listen}; }}", channel)
    await is_open(page)
    speaker = http(server)
    for text in ('{"a": [1]}', "{broken", '"text"'):
        await speaker.post(channel, text)
    await speaker.post(channel, b"\x01", "application/octet-stream")
    assert await heard(page, 3) == [{"a": [1]}, "text", [1]]
    (error,) = await page.evaluate("errors")
    assert error["data"] == "{broken"


async def test_module_is_the_same_as_the_script(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    module = 'import eventcast from "/static/eventcast/eventcast.esm.js"; globalThis.imported = eventcast;'
    page = await open_page(visit, server, html=f'<!doctype html><script type="module">{module}</script>{CLASSIC}')
    assert await page.evaluate("imported === eventcast")
    await page.evaluate("path => { imported(path).on((data) => heard.push(data)); }", channel)
    await http(server).wait_for_count(channel, 1)
    await http(server).post(channel, "hello")
    assert await heard(page, 1) == ["hello"]


@pytest.mark.parametrize(
    "before",
    [
        NO_WEBSOCKETS,
        "globalThis.WebSocket = undefined",
        "globalThis.WebSocket = class { constructor() { throw Error('no') } }",
    ],
)
async def test_client_falls_back_to_a_stream(
    visit: Visit, server: Server, channel: str, http: Talk, before: str
) -> None:
    page = await open_page(visit, server, before=before)
    await page.evaluate("path => { listen(path); }", channel)
    await is_open(page, "stream")
    await say(http(server), channel)
    assert await heard(page, 4) == SAID
    await page.evaluate("path => eventcast(path).on(console.log) && 0", channel)
    assert await http(server).count(channel) == 1


async def test_client_does_not_fall_back_once_a_websocket_was_open(visit: Visit, server: Server) -> None:
    page = await open_page(visit, server, before=SOCKETS)
    await page.evaluate("async () => { await listen('/a'); sockets[0].open(); sockets[0].end(1001); }")
    await page.evaluate("() => { dispatchEvent(new Event('online')); sockets[1].end(); }")
    assert await page.evaluate("states.map(({ transport }) => transport)") == [
        "websocket", "websocket", None, "websocket", None,
    ]  # fmt: skip


WAITS = [(500, 4000), (500, 4000), (500, 4000), (500, 8000), (500, 16_000), (500, 30_000), (500, 30_000)]


@pytest.mark.parametrize(("random", "end"), [("0", 0), ("1 - 1e-9", 1)])
async def test_wait_is_between_half_a_second_and_a_bound_that_doubles_after_three_tries(
    visit: Visit, server: Server, random: str, end: int
) -> None:
    page = await open_page(visit, server, before=SOCKETS + f"Math.random = () => {random};")
    delays = await page.evaluate("""() => {
        listen('/a');
        return [1, 2, 3, 4, 5, 6, 7].map(() => {
            sockets.at(-1).end();
            const { delay } = states.at(-1);
            dispatchEvent(new Event('online'));
            return delay;
        });
    }""")
    assert delays == [wait[end] for wait in WAITS]


async def test_waits_are_spread_evenly(visit: Visit, server: Server) -> None:
    page = await open_page(visit, server, before=SOCKETS)
    delays = await page.evaluate("""() => Array.from({ length: 3000 }, (_, number) => {
        let found;
        const channel = eventcast('/' + number).on('state', (state, { delay }) => found = delay ?? found);
        sockets.at(-1).end(1001);
        channel.close();
        return found;
    })""")
    assert len(delays) == 3000
    tenths = [0] * 10
    for delay in delays:
        assert 500 <= delay <= 4000
        tenths[min(9, int((delay - 500) / 350))] += 1
    # 300 are expected in each, with a standard deviation of 16.
    assert all(200 < tenth < 400 for tenth in tenths), tenths


async def test_client_reconnects_when_the_wait_is_over(visit: Visit, server: Server) -> None:
    page = await open_still_page(visit, server, before=SOCKETS + "Math.random = () => 0.5;")
    await page.evaluate("async () => { await listen('/a'); sockets[0].open(); sockets[0].end(1001, 'bye'); }")
    assert await page.evaluate("states.at(-1)") == {
        "state": "waiting",
        "delay": 2250,
        "code": 1001,
        "reason": "bye",
        "heard": 60_000,
    }
    await page.clock.run_for(2249)
    assert await page.evaluate("sockets.length") == 1
    await page.clock.run_for(1)
    assert await page.evaluate("[sockets.length, states.at(-1).state]") == [2, "connecting"]
    assert await page.evaluate("errors") == [], "the server has said goodbye: that is no error"


async def test_connection_that_does_not_open_is_given_up(visit: Visit, server: Server) -> None:
    page = await open_still_page(visit, server, before=SOCKETS)
    await page.evaluate("() => { listen('/a'); }")
    await page.clock.run_for(15_000)
    assert await page.evaluate("[sockets[0].closed, states.at(-1).state]") == [True, "waiting"]
    assert await page.evaluate("errors") == [{"message": "No answer", "code": 1006, "data": None}]


@pytest.mark.parametrize(("lasted", "longest"), [(9_000, 8000), (11_000, 4000)])
async def test_only_a_steady_connection_makes_waits_short_again(
    visit: Visit, server: Server, lasted: int, longest: int
) -> None:
    page = await open_still_page(visit, server, before=SOCKETS + "Math.random = () => 1;")
    await page.evaluate("""() => {
        listen('/a');
        for (const number of [0, 1, 2]) {
            sockets[number].end();
            dispatchEvent(new Event('online'));
        }
        sockets[3].open();
    }""")
    await page.clock.run_for(lasted)
    await page.evaluate("sockets[3].end()")
    assert await page.evaluate("states.at(-1).delay") == longest


HURRIES = ["dispatchEvent(new Event('online'))", "document.dispatchEvent(new Event('visibilitychange'))"]


@pytest.mark.parametrize("event", HURRIES)
async def test_client_reconnects_at_once_when_the_network_or_the_reader_is_back(
    visit: Visit, server: Server, event: str
) -> None:
    page = await open_still_page(visit, server, before=SOCKETS)
    await page.evaluate(f"() => {{ listen('/a'); sockets[0].end(); {event}; {event}; }}")
    assert await page.evaluate("sockets.length") == 2
    await page.clock.run_for(5000)
    assert await page.evaluate("sockets.length") == 2, "the timer is gone"


async def test_client_that_an_operator_disconnected_is_in_no_hurry(visit: Visit, server: Server) -> None:
    page = await open_still_page(visit, server, before=SOCKETS + "Math.random = () => 0;")
    kicked = "sockets[0].say({ type: 'bye', code: 3000, retry: [15, 30] }); sockets[0].end(3000);"
    await page.evaluate(f"() => {{ listen('/a'); sockets[0].open(); {kicked} {HURRIES[0]}; }}")
    assert await page.evaluate("[sockets.length, states.at(-1).delay]") == [1, 15_000]
    await page.clock.run_for(15_000)
    assert await page.evaluate("sockets.length") == 2


async def test_close_stops_and_on_begins_anew(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_page(visit, server)
    await page.evaluate("path => { globalThis.channel = listen(path); }", channel)
    await is_open(page)
    await page.evaluate("channel.close()")
    await http(server).wait_for_count(channel, 0)
    assert await page.evaluate("[channel.state, states.at(-1).state]") == ["closed", "closed"]
    await page.evaluate("() => { channel.on('error', () => 0); }")
    await is_open(page)
    await http(server).post(channel, "again")
    assert await heard(page, 1) == ["again"]


async def test_channel_that_is_closed_at_once_opens_no_connection(visit: Visit, server: Server, channel: str) -> None:
    page = await open_page(visit, server)
    opened: list[str] = []
    page.on("websocket", lambda socket: opened.append(socket.url))
    # As React's StrictMode does with each effect.
    await page.evaluate("path => { listen(path).close(); listen(path); }", channel)
    await is_open(page)
    assert len(opened) == 1


@pytest.mark.parametrize("state", ["connecting", "open", "waiting"])
async def test_close_in_any_state_leaves_nothing_behind(visit: Visit, server: Server, state: str) -> None:
    page = await open_still_page(visit, server, before=SOCKETS)
    await page.evaluate(
        """wanted => {
        const channel = listen('/a');
        channel.on('state', (state) => state == wanted && sockets.length && channel.close());
        sockets[0].open();
        sockets[0].end();
    }""",
        state,
    )
    await page.clock.run_for(60_000)
    assert await page.evaluate("sockets.filter((socket) => !socket.closed).length") == 0
    assert await page.evaluate("states.at(-1).state") == "closed"


async def test_listeners_of_one_path_share_a_socket(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_page(visit, server)
    await page.evaluate(
        """path => {
        globalThis.first = listen(path).on((data) => heard.push(data + "!"));
        globalThis.second = listen(location.origin + path);
        globalThis.third = eventcast(path); // listens to nothing
    }""",
        channel,
    )
    await is_open(page)
    speaker = http(server)
    assert await speaker.count(channel) == 1
    await speaker.post(channel, "a")
    assert await heard(page, 3) == ["a", "a!", "a"]
    await page.evaluate("first.close()")
    await speaker.post(channel, "b")
    assert (await heard(page, 4))[3:] == ["b"]
    await page.evaluate("second.close()")
    await speaker.wait_for_count(channel, 0)


async def test_off_takes_a_listener_away(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_page(visit, server)
    await page.evaluate(
        """path => {
        const extra = (data) => heard.push(data + "?");
        listen(path).on(extra).off(extra);
    }""",
        channel,
    )
    await is_open(page)
    await http(server).post(channel, "a")
    assert await heard(page, 1) == ["a"]


async def test_listener_that_fails_stops_no_other(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_page(visit, server)
    await page.evaluate(
        """path => {
        addEventListener("error", (event) => {
            event.preventDefault();
            globalThis.thrown = event.error.message;
        });
        eventcast(path).on(() => { throw Error("mine"); });
        listen(path);
    }""",
        channel,
    )
    await is_open(page)
    await http(server).post(channel, "a")
    assert await heard(page, 1) == ["a"]
    await page.wait_for_function("globalThis.thrown == 'mine'")


async def test_send_publishes_each_kind(visit: Visit, server: Server, channel: str, connect: Connect) -> None:
    page = await open_page(visit, server)
    client = await connect(server, channel)
    answers = await page.evaluate(
        """async path => {
        const channel = eventcast(path);
        const bytes = new Uint8Array([0, 1, 255]);
        const all = ["张三", "", { a: "é" }, [1], null, bytes, bytes.buffer, new Blob([bytes.subarray(1)])];
        const answers = [];
        for (const data of all) answers.push(await channel.send(data));
        return answers;
    }""",
        channel,
    )
    assert answers == [{"channel": channel, "messages": 1, "subscribers": 1}] * 8
    binary = b"\x00\x01\xff"
    assert await client.receive_many(8) == ["张三", "", '{"a":"é"}', "[1]", "null", binary, binary, binary[1:]]


SEND = """([url, data]) => eventcast(url).send(data).catch(
    ({ name, message, status, code }) => ({ name, message, status, code }))"""


async def test_send_that_is_refused_says_why(visit: Visit, server: Server, channel: str) -> None:
    page = await open_page(visit, server)
    error = await page.evaluate(SEND, [channel, "x" * 1_100_000])
    assert (error["status"], error["code"]) == (413, "message_too_large")
    assert "MAX_MESSAGE_SIZE" in error["message"]


async def test_send_without_a_server_is_a_type_error(visit: Visit, server: Server) -> None:
    page = await open_page(visit, server)
    error = await page.evaluate(SEND, ["http://127.0.0.1:9/a", "x"])
    assert (error["name"], error["status"]) == ("TypeError", None)


async def test_what_means_nothing_is_a_type_error(visit: Visit, server: Server) -> None:
    page = await open_page(visit, server)
    for call in (
        "eventcast('http://')",
        "eventcast('ftp://a/b')",
        "eventcast('mailto:a')",
        "eventcast('/a').on('open', () => 0)",
        "eventcast('/a').on('state')",
    ):
        assert await page.evaluate(f"() => {{ try {{ {call} }} catch (error) {{ return error.name }} }}") == "TypeError"


async def test_path_means_the_channel_of_that_name(visit: Visit, server: Server) -> None:
    page = await open_page(visit, server)
    odd = ["/", "/a b/中文", "//host/a", "/.a/b.", "/a%2Fb?c#d", "/'\"`<>\\^|[]{}", "/a\n\u202e😀", "/a//"]
    paths = await page.evaluate("odd => odd.map((name) => new URL(eventcast.path(name), location).pathname)", odd)
    assert [names.channel_from_target(path.encode()) for path in paths] == odd
