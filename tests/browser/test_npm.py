"""The package for npm in a page that vite builds, with React in StrictMode, in Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.conftest import LOOP, Visit
from tests.live.conftest import Talk
from tests.live.servers import ROOT, Server

pytestmark = [LOOP, pytest.mark.slow]

PACKAGES = (
    "vite@6.4.6",
    "typescript@5.9.3",
    "react@19.3.1",
    "react-dom@19.3.1",
    "@types/react@19.3.3",
    "@types/react-dom@19.3.0",
)

HTML = '<!doctype html><div id="root"></div><script type="module" src="/page.tsx"></script>'

PAGE = """\
import eventcast from "eventcast";
import "eventcast/react";
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

function Latest() {
  const [latest, setLatest] = useState("");
  useEffect(() => {
    const channel = eventcast<string>("/CHANNEL/one").on((data) => setLatest(data));
    return () => channel.close();
  }, []);
  return <p id="latest">{latest}</p>;
}

createRoot(document.getElementById("root")!).render(<StrictMode>
  <Latest />
  <event-cast path="/CHANNEL/two" max={50} onmessage={(event) => { document.title = String(event.detail); }} />
</StrictMode>);
"""

BAD = """\
import "eventcast/react";
// @ts-expect-error  There is no such attribute.
export const element = <event-cast pat="/deploys" />;
"""


@pytest.fixture
def built(tmp_path: Path, channel: str) -> Path:
    """The folder of the page that vite has built, with React as developers have it."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    subprocess.run([sys.executable, ROOT / ".ci/npm/build.py", tmp_path / "package"], check=True)
    site = tmp_path / "site"
    site.mkdir()
    (site / "package.json").write_text('{"type": "module"}')
    (site / "tsconfig.json").write_text('{"compilerOptions": {"jsx": "react-jsx"}}')  # for vite
    (site / "index.html").write_text(HTML)
    (site / "page.tsx").write_text(PAGE.replace("/CHANNEL", channel))
    (site / "bad.tsx").write_text(BAD)
    install = ["npm", "install", "--no-audit", "--no-fund", "--install-links", *PACKAGES, tmp_path / "package"]
    finished = subprocess.run(install, cwd=site, capture_output=True, text=True)
    if finished.returncode:
        pytest.skip(f"npm could not install {', '.join(PACKAGES)}: {finished.stderr}")
    options = ["--strict", "--noEmit", "--target", "es2022", "--lib", "es2022,dom", "--jsx", "react-jsx"]
    compiler = ["node", "node_modules/typescript/bin/tsc", *options, "page.tsx", "bad.tsx"]
    for resolution in (["--module", "nodenext"], ["--module", "esnext", "--moduleResolution", "bundler"]):
        finished = subprocess.run([*compiler, *resolution], cwd=site, capture_output=True, text=True)
        assert (finished.stdout, finished.returncode) == ("", 0)
    vite = ["node", "node_modules/vite/bin/vite.js", "build", "--base", "/built/", "--mode", "development"]
    subprocess.run(vite, cwd=site, env=os.environ | {"NODE_ENV": "development"}, check=True, capture_output=True)
    return site / "dist"


async def test_react_in_strict_mode_opens_one_connection_for_each_channel(
    visit: Visit, server: Server, http: Talk, channel: str, built: Path
) -> None:
    page = await visit(f"{server.url}/empty", html="<!doctype html>")
    opened, said = watch(page)

    async def answer(route: Route) -> None:
        await route.fulfill(path=built / route.request.url.partition("/built/")[2])

    await page.route("**/built/**", answer)
    await page.goto(f"{server.url}/built/index.html")
    for name in ("one", "two"):
        await http(server).wait_for_count(f"{channel}/{name}", 1)
        await http(server).post(f"{channel}/{name}", f"hello {name}")
    await expect(page.locator("#latest")).to_have_text("hello one")
    await expect(page.locator("event-cast > div")).to_have_text("hello two")
    await expect(page).to_have_title("hello two")
    assert sorted(opened) == [f"ws://127.0.0.1:{server.port}{channel}/{name}" for name in ("one", "two")]
    assert said == []


def watch(page: Page) -> tuple[list[str], list[str]]:
    """The WebSockets that a page opens, and the warnings and errors in its console."""
    opened: list[str] = []
    said: list[str] = []
    page.on("websocket", lambda socket: opened.append(socket.url))
    page.on("console", lambda message: message.type in ("warning", "error") and said.append(message.text))
    return opened, said
