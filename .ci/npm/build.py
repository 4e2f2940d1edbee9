"""Makes the package for npm from the files of ``eventcast/static/eventcast``: ``.ci/npm/build.py FOLDER``.

Then ``npm publish FOLDER``. The sources are scripts, which a page loads without a build step. Each gets the two forms
that Node and bundlers import: a module (``.mjs``) and CommonJS (``.cjs``), with types for each.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
STATIC = ROOT / "eventcast/static/eventcast"

EXPORT_OF_SCRIPT = '  if (typeof module == "object") module.exports = eventcast;\n'
EXPORT_OF_TYPES = "export = eventcast;\nexport as namespace eventcast;\n"


def build(folder: Path) -> None:
    """Write the package into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in (STATIC / "eventcast.js", STATIC / "event-cast.js", HERE / "README.md", ROOT / "LICENSE"):
        shutil.copy(source, folder)
    client, element, types = (
        (STATIC / name).read_text(encoding="utf-8") for name in ("eventcast.js", "event-cast.js", "eventcast.d.ts")
    )
    client = without(client, EXPORT_OF_SCRIPT)
    types = without(types, EXPORT_OF_TYPES)
    react = (HERE / "react.d.ts").read_text(encoding="utf-8")
    files = {
        "package.json": package(),
        "eventcast.mjs": client + "\nexport default globalThis.eventcast;\n",
        "eventcast.cjs": client + "\nmodule.exports = globalThis.eventcast;\n",
        "eventcast.d.mts": types + "export default eventcast;\n",
        "eventcast.d.cts": types + "export = eventcast;\n",
        "element.mjs": 'import "./eventcast.mjs";\n' + element,
        "element.cjs": 'require("./eventcast.cjs");\n' + element,
        "element.d.mts": 'import "./eventcast.mjs";\n',
        "element.d.cts": 'import "./eventcast.cjs";\n',
        "react.d.mts": react.replace("EXTENSION", "mjs"),
        "react.d.cts": react.replace("EXTENSION", "cjs"),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def package() -> str:
    """``package.json`` with the version of the Python package."""
    found = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
    source = (ROOT / "eventcast/__init__.py").read_text(encoding="utf-8")
    found["version"] = re.search(r'__version__ = "(\d+\.\d+\.\d+)', source)[1]  # type: ignore[index]
    return json.dumps(found, indent=2) + "\n"


def without(text: str, part: str) -> str:
    """The text without a part that is there once, so that a changed source is noticed here."""
    if text.count(part) != 1:
        sys.exit(f"The sources have changed: {part!r} is there {text.count(part)} times.")
    return text.replace(part, "")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build(Path(sys.argv[1]))
