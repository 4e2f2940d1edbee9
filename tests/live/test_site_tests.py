"""A site made by README's three edits runs the tests that docs/site.md shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

SETTINGS = """
INSTALLED_APPS += ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.staticfiles"]
SECRET_KEY = "only for tests"
ROOT_URLCONF = "mysite.urls"
STATIC_URL = "static/"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db", "TEST": {"NAME": "test_db"}}}
"""

URLS = """
import eventcast
from django.db import transaction
from django.http import Http404, HttpResponse


def pay(request, number):
    if not number:
        raise Http404
    with transaction.atomic():
        eventcast.publish(f"/live/orders/{number}", {"paid": True}, on_commit=True)
    return HttpResponse("paid")


urlpatterns += [path("orders/<int:number>/pay/", pay)]
"""

MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
execute_from_command_line(sys.argv)
"""


def files_in(document: str) -> dict[str, str]:
    """The Python files in a document: code that begins with a comment that names the file."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return dict(re.findall(r"^```python\n# ([\w/]+\.py)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    edits = files_in("README.md")
    tests = {name: code for name, code in files_in("docs/site.md").items() if name.startswith("tests/")}
    assert len(tests) == 5
    files = {
        "manage.py": MANAGE,
        "mysite/__init__.py": "",
        "mysite/settings.py": edits["settings.py"] + SETTINGS,
        "mysite/urls.py": edits["urls.py"] + URLS,
        "mysite/asgi.py": edits["asgi.py"],
        "tests/__init__.py": "",
        **tests,
    }
    for name, code in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    return tmp_path


def run(site: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=site, env=environment, capture_output=True, text=True, timeout=120
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def test_tests_of_the_document_pass_under_django(site: Path) -> None:
    assert re.search(r"^Ran 5 tests .*^OK$", run(site, "manage.py", "test"), re.MULTILINE | re.DOTALL)


def test_tests_of_the_document_pass_under_pytest(site: Path) -> None:
    options = ["--ds=mysite.settings", "-p", "eventcast.pytest_plugin", "-o", "python_files=test_*.py"]
    assert "6 passed" in run(site, "-m", "pytest", "-q", *options, "tests")


def test_checks_of_the_site_find_nothing(site: Path) -> None:
    assert "no issues" in run(site, "manage.py", "check")


def test_fixture_is_there_without_a_word(site: Path) -> None:
    """Where eventcast is installed, pytest finds the fixture by the entry point."""
    dist = site / "eventcast-0.dist-info"
    dist.mkdir()
    project = (ROOT / "pyproject.toml").read_text()
    (entry,) = re.findall(r'pytest11\]\n"(.*?)" = "(.*?)"', project)
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: eventcast\nVersion: 0\n")
    (dist / "entry_points.txt").write_text("[pytest11]\n{} = {}\n".format(*entry))
    assert "eventcast_outbox" in run(site, "-m", "pytest", "--ds=mysite.settings", "--fixtures", "tests")
