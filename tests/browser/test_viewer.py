"""The list of messages and the box to send, which the channel's page and the admin share."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.conftest import LOOP, Visit
from tests.browser.test_channel_page import messages, open_channel, texts
from tests.live import servers
from tests.live.conftest import Connect, Start, Talk
from tests.live.servers import Server

pytestmark = LOOP

ORDERS = [
    {"order": {"id": 1, "amount": 50}, "to": "zhang"},
    {"order": {"id": 2, "amount": 365}, "to": "Li"},
    {"items": [{"amount": 7}, {"amount": 700}]},
]
LINES = [*map(json.dumps, ORDERS), "amount 365 as a text"]


async def open_orders(visit: Visit, server: Server, channel: str, http: Talk) -> Page:
    """A page with the orders and, as the newest, a text."""
    page = await open_channel(visit, server, channel)
    for line in LINES:
        await http(server).post(channel, line)
    await expect(texts(page)).to_have_text(LINES[::-1])
    return page


async def test_filter_takes_words_expressions_and_conditions(
    visit: Visit, server: Server, channel: str, http: Talk
) -> None:
    page = await open_orders(visit, server, channel, http)
    await page.keyboard.press("/")
    await expect(page.get_by_label("Filter")).to_be_focused()
    for text, found in {
        "AMOUNT text": [3],
        "/^.{2}(order|items)/": [2, 1, 0],
        "order.amount>100": [1],
        "order.amount<=50": [0],
        "items.amount=700": [2],
        "to=Li": [1],
        "to!=Li": [0],
        "to=Li zhang": [],
        "": [3, 2, 1, 0],
    }.items():
        await page.get_by_label("Filter").fill(text)
        await expect(texts(page)).to_have_text([LINES[index] for index in found])
        if not found:
            await expect(page.locator("#empty")).to_have_text("No message passes the filter.")


async def test_filter_says_why_no_message_passes(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_orders(visit, server, channel, http)
    says = page.locator("#filter-says[role=status]")
    for text, said in {
        "/[/": "Not a valid expression, so all messages are shown: Invalid regular expression: /[/",
        "amont>100": "No message has the key amont.",
        "order.amount>1000": "",
        "/order": "A regular expression has a slash at both ends",
        "amount >100": "A condition has no spaces",
        "/logs/web": "A regular expression has a slash at both ends",
        "amount": "",
    }.items():
        await page.get_by_label("Filter").fill(text)
        await expect(says).to_contain_text(said) if said else await expect(says).to_be_empty()
        assert (await page.get_by_label("Filter").get_attribute("aria-invalid") == "true") is (text == "/[/")


async def test_dense_table_survives_a_reload(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_orders(visit, server, channel, http)
    lines = messages(page).locator(".line")
    await expect(lines.first.locator(".since")).to_be_hidden()
    await page.keyboard.press("t")
    await expect(lines.first.locator(".since")).to_have_text(re.compile(r"^\+\d+ ms$"))
    await expect(lines.last.locator(".since")).to_be_empty()
    await expect(lines.first.locator("time")).to_have_attribute(
        "title", re.compile(r"^[-\d]+ [:\d]+\.\d{3} UTC[-+][:\d]+, \+\d+ ms$")
    )
    await page.reload()
    await expect(page.get_by_role("button", name="Table", pressed=True)).to_be_visible()
    await expect(page.locator(".heads")).to_have_text("TimeGapSizeMessage")
    await page.get_by_role("button", name="Table").click()
    await expect(page.locator(".heads")).to_be_hidden()


async def test_filter_holds_for_new_messages(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_channel(visit, server, channel)
    await page.get_by_label("Filter").fill("b")
    for text in ("a", "b", "c"):
        await http(server).post(channel, text)
    await expect(page.locator("#rest")).to_have_text("1 of 3 messages pass the filter")
    await expect(texts(page)).to_have_text(["b"])


async def test_keys_move_open_pause_and_clear(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_orders(visit, server, channel, http)
    for key in ("j", "j", "j", "k", "Enter"):
        await page.keyboard.press(key)
    opened = messages(page).nth(1)
    await expect(opened.locator(".line")).to_be_focused()
    assert json.loads(await opened.locator("pre").text_content() or "") == ORDERS[2]
    await opened.get_by_role("button", name="Fold all").click()
    assert await opened.locator("pre").inner_text() == "{}"
    await page.keyboard.press("p")
    await expect(page.get_by_role("button", name="Resume")).to_be_visible()
    await page.keyboard.press("?")
    await page.get_by_role("button", name="Close").click()
    await page.keyboard.press("c")
    await expect(messages(page)).to_have_count(0)


async def test_keys_do_nothing_where_one_types_or_when_they_are_off(
    visit: Visit, server: Server, channel: str, http: Talk
) -> None:
    page = await open_orders(visit, server, channel, http)
    await page.get_by_role("textbox", name="Message").press("c")
    await page.get_by_role("button", name="Keys").click()
    await page.get_by_label("Use these keys").uncheck()
    await page.get_by_role("button", name="Close").click()
    await page.keyboard.press("c")
    await expect(messages(page)).to_have_count(4)
    await expect(page.get_by_role("textbox", name="Message")).to_have_value("c")


async def test_list_has_one_stop_for_the_tab_key(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_orders(visit, server, channel, http)
    await expect(page.locator("#list [tabindex='0']:visible")).to_have_count(1)


async def test_scrolling_pauses(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_channel(visit, server, channel)
    await http(server).post(channel, "\n".join(str(number) for number in range(100)), "application/x-ndjson")
    await expect(messages(page)).to_have_count(100)
    await page.locator("#list").evaluate("list => { list.scrollTop = 300; }")
    await expect(page.locator("#pause")).to_have_text("Resume")
    await http(server).post(channel, "new")
    await expect(page.locator("#pause")).to_have_text("Resume (1 new)")
    await expect(texts(page).first).to_have_text("99")
    await page.locator("#list").evaluate("list => { list.scrollTop = 0; }")
    await expect(texts(page).first).to_have_text("new")


async def test_list_is_saved_as_lines_of_json(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_channel(visit, server, channel)
    await http(server).post(channel, "a\nb")
    await http(server).post(channel, b"\x00\xff", "application/octet-stream")
    await expect(messages(page)).to_have_count(2)
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Save").click()
    file = await download.value
    found = [json.loads(line) for line in (await file.path()).read_text().splitlines()]
    assert file.suggested_filename == channel.strip("/").replace("/", "-") + ".ndjson"
    assert [(line["channel"], line.get("data"), line.get("base64")) for line in found] == [
        (channel, "a\nb", None),
        (channel, None, "AP8="),
    ]
    assert found[0]["time"] <= found[1]["time"]


async def test_messages_and_what_is_half_typed_survive_a_reload(
    visit: Visit, server: Server, channel: str, http: Talk
) -> None:
    page = await open_orders(visit, server, channel, http)
    await http(server).post(channel, b"\x01", "application/octet-stream")
    await expect(messages(page)).to_have_count(5)
    await page.get_by_role("textbox", name="Message").fill("half a mess")
    await page.reload()
    await expect(messages(page)).to_have_count(5)
    await expect(texts(page).first).to_have_text("01")
    await expect(page.locator("#list .gap")).to_have_count(1)
    await expect(page.get_by_role("textbox", name="Message")).to_have_value("half a mess")
    await page.goto(server.url)
    await page.go_back()
    await expect(texts(page).nth(1)).to_have_text("amount 365 as a text")


async def test_line_has_the_name_of_an_event(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_channel(visit, server, channel)
    await http(server).post(f"{channel}?event=paid", "one")
    await expect(messages(page).locator(".from")).to_have_text("paid")
    await expect(texts(page)).to_have_text("one")


async def test_count_is_that_of_the_server(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_channel(visit, server, channel)
    lines = "\n".join(str(number) for number in range(3000))
    for _ in range(2):
        await http(server).post(channel, lines, "application/x-ndjson")
    await expect(page.locator("#count")).to_have_text("6,000")


async def test_burst_leaves_the_page_connected(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_channel(visit, server, channel)
    for _ in range(12):
        await http(server).post(channel, "\n".join(["x" * 1000] * 8000), "application/x-ndjson")
    await expect(page.locator("#count")).to_have_text("96,000")
    await expect(page.locator("#rest")).to_contain_text("The newest 200 of")
    await expect(page.locator("#state")).to_have_text("Live")
    await expect(page.locator("#gone")).to_be_hidden()


# --- the box to send --------------------------------------------------------------------------------------------------


async def test_box_checks_json_and_keeps_what_was_sent(
    visit: Visit, server: Server, channel: str, connect: Connect
) -> None:
    page = await open_channel(visit, server, channel)
    box = page.get_by_role("textbox", name="Message")
    await box.fill('{"a": 1')
    await expect(page.locator("#check")).to_contain_text("This is not JSON")
    await box.fill('{"a": 1}')
    await expect(page.locator("#check")).to_have_text("This is JSON.")
    await box.press("Control+Enter")
    await expect(page.locator("#sent")).to_have_text("Sent. No other subscriber listens now.")
    client = await connect(server, channel)
    await box.fill("two")
    await box.press("Control+Enter")
    await expect(page.locator("#sent")).to_have_text("Reached 1 other subscriber")
    await page.get_by_role("button", name="Send again").click()
    assert await client.receive_many(2) == ["two", "two"]
    await box.press("Alt+ArrowUp")
    await box.press("Alt+ArrowUp")
    await expect(box).to_have_value('{"a": 1}')


DROP = """([target, content]) => {
    const files = new DataTransfer();
    files.items.add(new File([new Uint8Array(content)], "dropped"));
    const drop = { bubbles: true, cancelable: true, dataTransfer: files };
    return document.querySelector(target).dispatchEvent(new DragEvent("drop", drop));
}"""


async def test_box_takes_files(visit: Visit, server: Server, channel: str, connect: Connect) -> None:
    client = await connect(server, channel)
    page = await open_channel(visit, server, channel)
    box = page.get_by_role("textbox", name="Message")
    await box.fill("half typed")
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="File…").press("Enter")
    text = {"name": "order.json", "mimeType": "application/json", "buffer": b'{"a":\r\n1}'}
    await (await chooser.value).set_files([text])
    await expect(page.locator("#attached-name")).to_have_text("order.json")
    await expect(page.locator("#check")).to_have_text("9 B, JSON")
    await page.keyboard.press("Enter")
    assert await client.receive() == '{"a":\r\n1}'
    await expect(box).to_be_visible()  # the answer has come
    await expect(box).to_have_value("half typed")

    assert await page.evaluate(DROP, ["#data", [0, 255, 10]]) is False
    await expect(page.locator("#check")).to_have_text("3 B, binary")
    await page.keyboard.press("Enter")
    await expect(box).to_be_visible()
    await page.get_by_role("button", name="Send again").click()
    assert await client.receive_many(2) == [b"\x00\xff\n"] * 2
    await expect(page.locator("#sent")).to_have_text("Reached 1 other subscriber")

    assert await page.evaluate(DROP, ["body", [1]]) is False  # the browser does not leave the page for it
    await expect(box).to_be_visible()
    await page.locator("#file").set_input_files([{"name": "big", "mimeType": "", "buffer": b"x" * (1 << 20) + b"y"}])
    await expect(page.locator("#sent")).to_have_text("big has 1.0 MB; a message may have 1.0 MB at most.")
    await page.locator("#file").set_input_files([text])
    await page.get_by_role("button", name="Remove").click()
    await expect(box).to_be_focused()


async def test_send_again_waits_for_no_answer(visit: Visit, server: Server, channel: str, connect: Connect) -> None:
    client = await connect(server, channel)
    page = await open_channel(visit, server, channel)
    box = page.get_by_role("textbox", name="Message")
    await box.fill("one")
    await box.press("Control+Enter")
    await expect(box).to_have_value("")
    await box.fill("two")
    await page.evaluate("for (const id of ['send-button', 'resend']) document.getElementById(id).click()")
    assert await client.receive_many(3) == ["one", "two", "two"]


# --- an honest line ---------------------------------------------------------------------------------------------------


class Proxy:
    """Forwards connections to a server, until it is frozen: then everything stays open and nothing passes."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.moving = asyncio.Event()
        self.moving.set()

    async def start(self) -> str:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    await self.moving.wait()
                    sink.write(data)
            finally:
                sink.close()

        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(start: Start) -> AsyncIterator[Proxy]:
    """A proxy before a server with a heartbeat each second."""
    found = Proxy(start(servers.serve, "--ping-interval", "1").port)
    yield found
    found.moving.set()
    found.server.close()


async def test_dead_line_is_not_called_live(visit: Visit, proxy: Proxy) -> None:
    page = await visit(await proxy.start() + "/a")
    await expect(page.locator("#state")).to_have_text("Live")
    proxy.moving.clear()
    await expect(page.locator("#gone")).to_contain_text("The line is dead: the server has sent no sign of life.")
    await expect(page.locator("#state")).to_have_text("Disconnected")
    proxy.moving.set()
    await page.get_by_role("button", name="Reconnect now").click()
    await expect(page.locator("#state")).to_have_text("Live")
    await expect(page.locator("#list .gap")).to_contain_text("Reconnected; messages published since")


async def test_page_says_that_the_computer_is_offline(visit: Visit, server: Server, channel: str) -> None:
    page = await open_channel(visit, server, channel, color_scheme="light")  # a browser profile of its own
    await page.context.set_offline(True)
    await expect(page.locator("#gone-why")).to_have_text("This computer is offline.")
    async with page.expect_event("requestfailed"):
        await page.get_by_role("button", name="Reconnect now").click()
    await expect(page.locator("#gone-when")).to_contain_text("Reconnecting in")
    await expect(page.locator("#gone-why")).to_have_text("This computer is offline.")
    await page.context.set_offline(False)
    await expect(page.locator("#state")).to_have_text("Live")


async def test_page_says_that_the_channel_is_full(visit: Visit, start: Start, connect: Connect) -> None:
    server = start(servers.serve, env={"EVENTCAST_MAX_SUBSCRIBERS_PER_CHANNEL": "1"})
    await connect(server, "/a")
    page = await visit(server.url + "/a")
    await expect(page.locator("#gone")).to_contain_text("MAX_SUBSCRIBERS_PER_CHANNEL")
