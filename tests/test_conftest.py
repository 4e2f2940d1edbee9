"""The hook in conftest.py that turns a skip into a failure, tried out in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

SKIPS = {
    "mark": "import pytest\n@pytest.mark.skip(reason='no such thing')\ndef test_it(): pass\n",
    "call": "import pytest\ndef test_it(): pytest.skip('no such thing')\n",
    "module": "import pytest\npytest.importorskip('no_such_module')\ndef test_it(): pass\n",
}


def run_pytest(directory: Path, source: str, require_all: str, *options: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_it.py").write_text(source)
    arguments = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-p", "no:django", "-c", os.devnull]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, f"--rootdir={directory}", *options, str(directory)],
        cwd=ROOT,
        env=os.environ | {"EVENTCAST_REQUIRE_ALL": require_all},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("kind", SKIPS)
def test_skip_fails_when_everything_is_required(tmp_path: Path, kind: str) -> None:
    finished = run_pytest(tmp_path, SKIPS[kind], "1")
    assert finished.returncode in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)
    assert "a test that is skipped has failed" in finished.stdout


def test_skip_fails_in_a_worker_as_well(tmp_path: Path) -> None:
    finished = run_pytest(tmp_path, SKIPS["mark"], "1", "--numprocesses=1")
    assert finished.returncode == pytest.ExitCode.TESTS_FAILED
    assert "a test that is skipped has failed" in finished.stdout


def test_skip_stays_a_skip_otherwise(tmp_path: Path) -> None:
    finished = run_pytest(tmp_path, SKIPS["call"], "")
    assert finished.returncode == pytest.ExitCode.OK
    assert "1 skipped" in finished.stdout


def test_expected_failure_is_no_skip(tmp_path: Path) -> None:
    source = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n"
    assert run_pytest(tmp_path, source, "1").returncode == pytest.ExitCode.OK
