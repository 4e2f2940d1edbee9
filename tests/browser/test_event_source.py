"""Chromium's own EventSource reads the streams."""

from __future__ import annotations

from tests.browser.conftest import LOOP, Visit
from tests.live import servers
from tests.live.conftest import Start, Talk

pytestmark = LOOP

LISTEN = """path => {
    globalThis.heard = [];
    globalThis.opened = 0;
    globalThis.source = new EventSource(path);
    source.onopen = () => { opened++; };
    source.onmessage = (event) => { heard.push(event.data); };
    source.addEventListener("binary", (event) => { heard.push([event.data]); });
}"""


async def test_eventsource_hears_everything_and_comes_back(visit: Visit, start: Start, http: Talk) -> None:
    server = start(servers.daphne)
    page = await visit(server.url + "/blank", html="<!doctype html>")
    await page.evaluate(LISTEN, "/a")
    await page.wait_for_function("opened == 1")
    speaker = http(server)
    await speaker.wait_for_count("/a", 1)
    for text in ("one\ntwo\r\n\nfive", "张三 😀", "", " data: <b>"):
        await speaker.post("/a", text)
    await speaker.post("/a", b"\x00\xff", "application/octet-stream")
    await page.wait_for_function("heard.length == 5")
    assert await page.evaluate("heard") == ["one\ntwo\n\nfive", "张三 😀", "", " data: <b>", ["AP8="]]

    server.kill()
    server.process.wait()
    again = start(servers.daphne, "-p", str(server.port))
    again.allows_tracebacks = True  # Django's, if it is stopped before it knows that the stream has ended
    await page.wait_for_function("opened == 2", timeout=60_000)
    await http(again).wait_for_count("/a", 1)
    await http(again).post("/a", "back")
    await page.wait_for_function("heard.at(-1) == 'back'")
    await page.evaluate("source.close()")
