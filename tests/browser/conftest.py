"""Fixtures: Debian's Chromium, driven by Playwright, against servers as in tests/live."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from tests.browser import office as offices
from tests.live import conftest as live
from tests.live.clients import WebSocket
from tests.live.conftest import Connect, Talk, check_log
from tests.live.http_client import HTTP
from tests.live.servers import Server

channel, shared_servers, standalone_server, start = (
    live.channel, live.shared_servers, live.standalone_server, live.start,
)  # fmt: skip

staff, shared_office, office, enter = offices.staff, offices.shared_office, offices.office, offices.enter

# One event loop for all tests, because the browser belongs to its loop and takes a second to start.
LOOP: Any = pytest.mark.asyncio(loop_scope="session")

OPTIONS = [
    "--headless",
    "--no-sandbox",  # CI is root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A page made by a test has no address, and Chromium would not let it connect to this machine.
    "--disable-features=LocalNetworkAccessChecks",
]

TIMEOUT = 20_000
"""Milliseconds until a wait for a page fails: much longer than any wait here."""

expect.set_options(timeout=TIMEOUT)

Visit = Callable[..., Awaitable[Page]]


@pytest.fixture
def server(standalone_server: Server) -> Iterator[Server]:
    """At the door only: what is tested here stands before the server."""
    yield standalone_server
    check_log(standalone_server)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium or a Chrome: first of the one without windows, which takes a third of the time."""
    for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("chromium is not installed")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """The browser profile of most pages, with the static files in its cache."""
    context = await browser.new_context()
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, shared_context: BrowserContext) -> AsyncIterator[Visit]:
    """Opens pages, ``await visit(url)``; the test fails if one of them has an error or breaks its policy.

    ``html`` is what the page consists of, in place of what the server would answer; ``headers`` come with it.
    ``before`` is a script that runs before those of the page. With ``clock`` time goes on as ``page.clock`` says; other
    options are those of ``Browser.new_context``. Both make the page have a browser profile of its own.
    """
    pages: list[Page] = []
    errors: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        # Pages of this package refuse to be framed, and a test of forged forms frames one.
        if "Content Security Policy" in message.text and "frame-ancestors" not in message.text:
            errors.append(message.text)

    async def visit(
        url: str,
        *,
        html: str | None = None,
        headers: dict[str, str] | None = None,
        before: str = "",
        clock: bool = False,
        **options: Any,
    ) -> Page:
        context = await browser.new_context(**options) if options or clock else shared_context
        page = await context.new_page()
        page.set_default_timeout(TIMEOUT)
        pages.append(page)
        page.on("console", heard)
        page.on("pageerror", lambda error: errors.append(str(error)))
        if clock:
            await page.clock.install(time=0)
        if before:
            await page.add_init_script(before)
        if html is not None:
            answer = {"body": html, "content_type": "text/html; charset=utf-8", "headers": headers}
            await page.route(url, lambda route: route.fulfill(**answer))
        await page.goto(url)
        return page

    yield visit
    for page in pages:
        await (page.close() if page.context is shared_context else page.context.close())
    assert errors == []


@pytest_asyncio.fixture(loop_scope="session")
async def connect() -> AsyncIterator[Connect]:
    """Opens raw WebSockets: ``await connect(server, "/a")``."""
    opened: list[WebSocket] = []

    async def connect(server: Server, target: str | bytes, **options: Any) -> WebSocket:
        opened.append(await WebSocket.connect(server.port, target, **options))
        return opened[-1]

    yield connect
    for client in opened:
        await client.leave()


@pytest_asyncio.fixture(loop_scope="session")
async def http() -> AsyncIterator[Talk]:
    """Opens HTTP connections: ``http(server)``."""
    opened: list[HTTP] = []

    def connect(server: Server) -> HTTP:
        opened.append(HTTP(server.port))
        return opened[-1]

    yield connect
    for client in opened:
        await client.close()
