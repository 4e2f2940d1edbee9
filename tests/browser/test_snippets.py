"""Lines to copy, in several languages: each does what it says when it is run."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.conftest import LOOP, Visit
from tests.live import conftest as live
from tests.live.conftest import Connect, Talk
from tests.live.servers import Server
from tests.live.waiting import TIMEOUT

pytestmark = LOOP

npm_packages = live.npm_packages

Run = list[str]


def command(language: str, request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """How a program of the language runs that is appended."""
    name = {"Shell": "curl", "PowerShell": "pwsh", "Python": sys.executable, "JavaScript": "node"}[language]
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    if language == "JavaScript":
        # Node before 22 has no WebSocket, as browsers and newer ones do.
        folder = request.getfixturevalue("npm_packages")
        socket = tmp_path / "socket.cjs"
        socket.write_text(f"globalThis.WebSocket ??= require({json.dumps(str(folder / 'ws'))});")
        return [name, "--require", str(socket), "-e"]
    return {"Shell": ["bash", "-c"], "PowerShell": [name, "-Command"], "Python": [name, "-u", "-c"]}[language]


@pytest_asyncio.fixture(loop_scope="session")
async def listeners() -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Programs that are ended after the test."""
    started: list[asyncio.subprocess.Process] = []
    yield started
    for process in started:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def lines(page: Page, language: str) -> list[str]:
    """The lines of a page in a language."""
    await page.get_by_role("tab", name=language, exact=True).click()
    return await page.locator("#snippets pre").all_inner_texts()


# PowerShell's own line to listen is for Windows, which has curl.exe.
@pytest.mark.parametrize("language", ["Shell", "Python", "JavaScript"])
@pytest.mark.parametrize("name", ["/plain", '/it\'s [a] "$b" `c` & 张/'])
async def test_lines_send_and_listen(
    visit: Visit,
    server: Server,
    channel: str,
    http: Talk,
    listeners: list[asyncio.subprocess.Process],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    language: str,
    name: str,
) -> None:
    run, target = command(language, request, tmp_path), quote(channel + name)
    page = await visit(server.url + target)
    await expect(page.locator("#state")).to_have_text("Live")
    send, listen, *_ = await lines(page, language)
    listener = await asyncio.create_subprocess_exec(*run, listen, stdout=PIPE, stderr=PIPE)
    listeners.append(listener)
    await http(server).wait_for_count(target, 2)
    sender = await asyncio.create_subprocess_exec(*run, send, stdout=PIPE, stderr=PIPE)
    errors = (await sender.communicate())[1]
    assert sender.returncode == 0, errors
    await expect(page.locator("#list .text")).to_have_text(["hello"])
    assert listener.stdout is not None
    said = b""
    while b"hello" not in said:
        more = await asyncio.wait_for(listener.stdout.read(1000), TIMEOUT)
        assert more, said
        said += more


async def test_line_of_powershell_sends(visit: Visit, server: Server, channel: str) -> None:
    page = await visit(f"{server.url}{channel}/it's")
    send, listen = await lines(page, "PowerShell")
    assert send == f"Invoke-RestMethod -Method Post `\n  -Body @{{data='hello'}} '{server.url}{channel}/it%27s'"
    assert listen.startswith("curl.exe -N")
    if shutil.which("pwsh"):
        subprocess.run(["pwsh", "-Command", send], check=True)
        await expect(page.locator("#list .text")).to_have_text(["hello"])


async def test_line_for_a_page_of_the_server_listens(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await visit(server.url + channel)
    *_, line = await lines(page, "JavaScript")
    page = await visit(f"{server.url}/page", html="<!doctype html>" + line)
    await http(server).wait_for_count(channel, 2)
    async with page.expect_console_message() as message:
        await http(server).post(channel, "to the page")
    assert (await message.value).text == "to the page"


async def test_pattern_has_lines_to_listen_only(visit: Visit, server: Server, channel: str, connect: Connect) -> None:
    page = await visit(f"{server.url}/-/subscribe?pattern={channel}/<host>")
    (line,) = await lines(page, "Shell")
    assert f"'{server.url}/-/subscribe?pattern={channel}/%3Chost%3E'" in line


async def test_language_is_remembered(visit: Visit, server: Server, channel: str) -> None:
    page = await visit(server.url + channel, locale="en-US")
    await expect(page.get_by_role("tab", selected=True)).to_have_text("Shell")
    await page.get_by_role("tab", selected=True).press("ArrowLeft")
    await expect(page.get_by_role("tab", selected=True)).to_have_text("JavaScript")
    await page.get_by_role("tab", selected=True).press("ArrowLeft")
    await page.goto(server.url)
    await expect(page.get_by_role("tab", selected=True)).to_have_text("Python")
    await expect(page.get_by_role("tabpanel", name="Python")).to_contain_text("urlopen")


async def test_reader_under_windows_begins_with_powershell(visit: Visit, server: Server) -> None:
    agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140 Safari/537.36"
    page = await visit(server.url, user_agent=agent)
    await expect(page.get_by_role("tab", selected=True)).to_have_text("PowerShell")
