"""The package for npm: Node imports every entry in both ways, and TypeScript finds the types of each."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import eventcast
from tests.live.servers import ROOT

MODULE = """\
import eventcast from "eventcast";
import "eventcast/element";

const channel: eventcast.Channel<string> = eventcast<string>("/deploys").on((data) => { data.length; });
document.querySelector("event-cast")?.addEventListener("message", (event) => event.preventDefault());
// @ts-expect-error  There is no such event.
channel.on("open", () => undefined);
"""

COMMON = """\
import eventcast = require("eventcast");
import "eventcast/element";

const state: eventcast.State = eventcast("/deploys").state;
// @ts-expect-error  It is read only.
eventcast("/deploys").state = state;
"""

IMPORTS = """\
import { createRequire } from "node:module";
const { exports } = JSON.parse(process.argv[1]);
const require = createRequire(import.meta.url);
const found = {};
for (const entry of Object.keys(exports)) {
  const name = "eventcast" + entry.slice(1);
  const required = require(name);
  const imported = exports[entry].import ? (await import(name)).default : undefined;
  found[entry] = [typeof imported, typeof required];
}
import eventcast from "eventcast";
console.log(JSON.stringify([found, eventcast === require("eventcast"), eventcast.path("/a b")]));
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The folder of the package."""
    folder = tmp_path / "eventcast"
    subprocess.run([sys.executable, ROOT / ".ci/npm/build.py", folder], check=True)
    return folder


def described(package: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((package / "package.json").read_text())
    return said


def test_package_has_the_files_that_its_exports_name(package: Path) -> None:
    said = described(package)
    named = {
        name
        for entry in said["exports"].values()
        for way in (entry.values() if isinstance(entry, dict) else [entry])
        for name in (way.values() if isinstance(way, dict) else [way])
    }
    named |= {said[key] for key in ("main", "module", "types", "unpkg", "jsdelivr")}
    assert {path.name for path in package.iterdir()} == {name.removeprefix("./") for name in named} | {
        "LICENSE", "README.md",
    }  # fmt: skip
    assert said["version"] == eventcast.__version__


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_node_imports_every_entry_of_the_package(package: Path, tmp_path: Path) -> None:
    (tmp_path / "node_modules").mkdir()
    package.rename(tmp_path / "node_modules/eventcast")
    exports = (tmp_path / "node_modules/eventcast/package.json").read_text()
    command = ["node", "--input-type=module", "-e", IMPORTS, exports]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert finished.stderr == ""
    found, same, path = json.loads(finished.stdout)
    assert found == {
        ".": ["function", "function"],
        "./element": ["undefined", "object"],
        "./react": ["undefined", "object"],
        "./eventcast.js": ["undefined", "object"],
        "./event-cast.js": ["undefined", "object"],
        "./package.json": ["undefined", "object"],
    }
    assert (same, path) == (True, "/a%20b")


def test_typescript_finds_the_types_of_the_package(package: Path, npm_packages: Path, tmp_path: Path) -> None:
    (tmp_path / "node_modules").mkdir()
    package.rename(tmp_path / "node_modules/eventcast")
    (tmp_path / "module.mts").write_text(MODULE)
    (tmp_path / "common.cts").write_text(COMMON)
    options = ["--strict", "--noEmit", "--target", "es2022", "--lib", "es2022,dom", "--module", "nodenext"]
    command = ["node", str(npm_packages / "typescript/bin/tsc"), *options, "module.mts", "common.cts"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (finished.stdout, finished.returncode) == ("", 0)
