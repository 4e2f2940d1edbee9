"""The hooks in conftest.py: a skip is a failure, tried out in a pytest of its own, and a test has a time limit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import time_limit

ROOT = Path(__file__).resolve().parent.parent

SKIPS = {
    "test_mark": "import pytest\n@pytest.mark.skip(reason='no such thing')\ndef test_it(): pass\n",
    "test_call": "import pytest\ndef test_it(): pytest.skip('no such thing')\n",
    "test_module": "import pytest\npytest.importorskip('no_such_module')\ndef test_it(): pass\n",
}
EXPECTED_FAILURE = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n"


def run_pytest(folder: Path, sources: dict[str, str], require_all: str, *options: str) -> tuple[int, str]:
    """Run those test modules; returns the exit code of pytest, and how many tests it says have ended in which way."""
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    arguments = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-p", "no:django", "-c", os.devnull]
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, f"--rootdir={folder}", *options, str(folder)],
        cwd=ROOT,
        env=os.environ | {"EVENTCAST_REQUIRE_ALL": require_all},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return finished.returncode, finished.stdout.splitlines()[-1].strip("= ").partition(" in ")[0]


def test_skips_fail_when_everything_is_required(tmp_path: Path) -> None:
    options = ["--continue-on-collection-errors", "--numprocesses=1"]
    sources = SKIPS | {"test_xfail": EXPECTED_FAILURE}
    ends = "1 failed, 1 xfailed, 2 errors"  # A mark skips the set-up, importorskip the collection.
    assert run_pytest(tmp_path, sources, "1", *options) == (pytest.ExitCode.TESTS_FAILED, ends)


def test_skips_are_no_failures_otherwise(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, SKIPS, "") == (pytest.ExitCode.OK, "3 skipped")


def test_waiting_for_ever_fails_in_the_end() -> None:
    with pytest.raises(TimeoutError, match=r"took 0\.01 s"), time_limit(0.01):
        threading.Event().wait()
