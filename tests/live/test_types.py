"""eventcast.d.ts says what eventcast.js does: TypeScript's own compiler reads both beside a sample."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.live.servers import ROOT

STATIC = ROOT / "eventcast/static/eventcast"

MODULE = """\
import eventcast from "./eventcast.esm.js";

interface Deploy { service: string; started: boolean }

const channel = eventcast<string>("/deploys").on((data) => { const text: string = data; text.length; });
const decoded = channel.json<Deploy>().on("message", ({ service }) => service.toUpperCase());
decoded.on("state", (state, { delay, transport }) => {
  if (state == "waiting") (delay ?? 0).toFixed();
  if (transport == "stream") return;
});
decoded.on("lost", ({ messages }) => messages.toFixed());
decoded.on((data, { time }) => data.started && (time ?? 0).toFixed());
decoded.on("error", (error) => console.log(error.message, error.code, error.data));
const listener = (data: Deploy) => { data.started; };
decoded.on(listener).off(listener).close();
const state: eventcast.State = eventcast(new URL("https://example.com/a"), { json: true }).state;
eventcast("/a", { token: "x" }); eventcast("/a", { token: async () => "x" });
const path: string = eventcast.path("/a b") + state;
const answer: Promise<number> = channel.send({ path }).then(({ subscribers }) => subscribers);
document.querySelector("event-cast")?.addEventListener("message", (event) => event.preventDefault());

// @ts-expect-error  There is no such event.
channel.on("open", () => answer);
// @ts-expect-error  A URL is needed.
eventcast();
// @ts-expect-error  It is read only.
channel.state = "open";
"""

CLASSIC = """\
eventcast("/deploys").on((data) => console.log(data.service)).close();
let channel: eventcast.Channel = eventcast("/deploys", { json: true });
"""


def test_types_are_those_of_a_sample(node_folder: Path, tmp_path: Path) -> None:
    for file in STATIC.glob("eventcast*"):
        shutil.copy(file, tmp_path)
    (tmp_path / "module.ts").write_text(MODULE)
    (tmp_path / "classic.ts").write_text('/// <reference path="./eventcast.d.ts" />\n' + CLASSIC)
    options = ["--strict", "--noEmit", "--skipDefaultLibCheck", "--target", "es2022", "--lib", "es2022,dom"]
    options += ["--module", "esnext", "--moduleResolution", "bundler"]
    command = ["node", str(node_folder / "node_modules/typescript/bin/tsc"), *options, "module.ts", "classic.ts"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert finished.stdout == ""
    assert finished.returncode == 0
