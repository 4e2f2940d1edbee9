"""Pages for people who may not, or not yet: keys, logins, and what is wrong."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from playwright.async_api import expect

from eventcast.authorization import token
from tests.browser.conftest import LOOP, Visit
from tests.browser.test_snippets import command, lines, listeners, npm_packages
from tests.live import servers
from tests.live.conftest import Fleet, Start
from tests.live.servers import Server
from tests.live.waiting import TIMEOUT

__all__ = ["listeners", "npm_packages"]

pytestmark = LOOP

KEY = "a-key-of-anna-0123456789"
EVERYTHING = "a-key-of-an-operator-0123456789"
KEYS = [
    {"key": KEY, "name": "anna", "publish": ["/open/<path:any>"], "subscribe": ["/open/<path:any>"]},
    {"key": EVERYTHING, "name": "operator", "subscribe": ["/<path:any>"]},
]
ENTRY = "Key or token"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants keys."""
    folder = tmp_path_factory.mktemp("closed")
    (folder / "keys.json").write_text(json.dumps(KEYS))
    fleet = Fleet(folder)
    env = {"EVENTCAST_AUTHORIZATION": "eventcast.authorization.Keys", "EVENTCAST_KEYS": str(folder / "keys.json")}
    yield fleet.start(servers.serve, env=env)
    fleet.stop()


async def test_page_takes_a_key_and_keeps_it_in_the_tab(visit: Visit, closed: Server, channel: str) -> None:
    page = await visit(f"{closed.url}/open{channel}")
    await expect(page.locator("#refusal")).to_contain_text("unauthorized")
    await page.get_by_label(ENTRY).fill("wrong" * 5)
    await page.get_by_role("button", name="Use it").click()
    await expect(page.locator("#refusal-detail")).to_contain_text("There is no such key")
    await expect(page.locator("#viewer")).to_be_hidden()  # nothing says that messages will appear
    await page.get_by_label(ENTRY).fill(KEY)
    await page.get_by_role("button", name="Use it").click()
    await expect(page.locator("#state")).to_have_text("Live")
    await expect(page.locator("#refusal")).to_be_hidden()
    await expect(page.locator("#subscribers")).to_have_text("1")
    await page.reload()
    await expect(page.locator("#state")).to_have_text("Live")
    await page.get_by_role("textbox", name="Message").fill("hello")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.locator("#list .text")).to_have_text(["hello"])
    assert KEY not in page.url + closed.log


@pytest.mark.parametrize("language", ["Shell", "Python", "JavaScript"])
async def test_lines_to_copy_take_the_key_from_the_environment(
    visit: Visit,
    closed: Server,
    channel: str,
    listeners: list[asyncio.subprocess.Process],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    language: str,
) -> None:
    run = command(language, request, tmp_path)
    page = await visit(f"{closed.url}/open{channel}")
    await page.get_by_label(ENTRY).fill(KEY)
    await page.get_by_role("button", name="Use it").click()
    await expect(page.locator("#state")).to_have_text("Live")
    found = await lines(page, language)
    assert KEY not in "".join(found)
    for line in reversed(found[:2]):
        program = await asyncio.create_subprocess_exec(
            *run, line, env=os.environ | {"EVENTCAST_KEY": KEY}, stdout=PIPE, stderr=PIPE
        )
        listeners.append(program)
        await expect(page.locator("#subscribers")).to_have_text("2")
    await expect(page.locator("#list .text")).to_have_text(["hello"])
    said = listeners[0].stdout
    while b"hello" not in (line := await asyncio.wait_for(said.readline(), TIMEOUT)):
        assert line
    assert "EVENTCAST_KEY" in "".join(await lines(page, "PowerShell"))


async def test_page_says_that_a_key_is_for_other_channels(visit: Visit, closed: Server, channel: str) -> None:
    page = await visit(closed.url + channel)
    await page.get_by_label(ENTRY).fill(KEY)
    await page.get_by_role("button", name="Use it").click()
    await expect(page.locator("#refusal")).to_contain_text("forbidden")


async def test_list_on_the_start_page_says_why_it_is_empty_and_takes_a_key(visit: Visit, closed: Server) -> None:
    page = await visit(closed.url)
    await expect(page.locator("#closed")).to_contain_text("Send a key")
    await page.get_by_label(ENTRY).fill(EVERYTHING)
    await page.get_by_role("button", name="Use it").click()
    await expect(page.locator("#empty")).to_be_visible()
    await expect(page.locator("#closed")).to_be_hidden()
    await expect(page.locator("#ways-in")).to_be_hidden()


async def test_path_that_is_no_channel_is_a_page(visit: Visit, server: Server) -> None:
    page = await visit(f"{server.url}/-/nothing")
    await expect(page.locator("main")).to_contain_text("reserved_path")
    assert await page.evaluate("getComputedStyle(document.querySelector('.unstyled')).display") == "none"


async def test_page_tells_of_a_permission_that_ends(visit: Visit, start: Start, channel: str) -> None:
    env = {"EVENTCAST_AUTHORIZATION": "eventcast.authorization.Tokens", "DJANGO_SECRET_KEY": settings.SECRET_KEY}
    page = await visit(start(servers.serve, env=env).url + channel)
    await page.get_by_label(ENTRY).fill(token(subscribe=channel, expires_in=3))
    await page.get_by_role("button", name="Use it").click()
    await expect(page.locator("#refusal")).to_contain_text("The token has expired.")
    await expect(page.locator("#state")).to_have_text("Not connected")
    await page.get_by_label(ENTRY).fill(token(subscribe=channel))
    await page.get_by_role("button", name="Use it").click()
    await expect(page.locator("#state")).to_have_text("Live")


async def test_refusals_are_in_the_language_of_the_browser(visit: Visit, closed: Server, channel: str) -> None:
    page = await visit(f"{closed.url}/open{channel}", locale="zh-CN")
    await expect(page.locator("#refusal-detail")).to_contain_text("请提供密钥")
    await page.get_by_label("密钥或令牌").fill("wrong" * 5)
    await page.get_by_role("button", name="使用").click()
    await expect(page.locator("#refusal-detail")).to_have_text("没有这个密钥。")  # told to the script


async def test_page_is_in_the_language_of_the_browser(visit: Visit, server: Server, channel: str) -> None:
    page = await visit(server.url + channel, locale="zh-CN")
    await expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    await expect(page.locator("#messages-title")).to_have_text("消息")
    await expect(page.locator("#pause")).to_have_text("暂停")
