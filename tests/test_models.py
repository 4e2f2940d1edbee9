"""The model of channels: permissions, and no table."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import connection

from eventcast.engine.names import channel_from_target
from eventcast.models import Channel

ROOT = Path(__file__).resolve().parent.parent

WITHOUT_ADMIN = """
from django.conf import settings
settings.configure(
    SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF="eventcast.urls", INSTALLED_APPS={apps}, DATABASES={{}},
    TEMPLATES=[{{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}}],
)
import django
django.setup()
from django.core.management import call_command
call_command("check")
from django.template import engines
engines.all()[0].from_string("{{% load eventcast_admin %}}")
from django.test import Client
import eventcast
client = Client()
print(eventcast.publish("/a", "hello"), client.get("/a").json()["subscribers"], end=" ")
print(client.post("/a", "hello", "text/plain").status_code)
"""


@pytest.mark.django_db
def test_migrations_make_permissions_and_no_table() -> None:
    tables = connection.introspection.table_names()
    assert [table for table in tables if "channel" in table or "eventcast" in table] == []
    found = Permission.objects.filter(content_type__app_label="eventcast").values_list("codename", flat=True)
    assert sorted(found) == ["disconnect_channel", "publish_channel", "view_channel"]


@pytest.mark.django_db(transaction=True)
def test_migration_can_be_undone() -> None:
    call_command("migrate", "eventcast", "zero", verbosity=0)
    call_command("migrate", "eventcast", verbosity=0)


@pytest.mark.django_db
def test_dumpdata_finds_no_channel() -> None:
    output = io.StringIO()
    call_command("dumpdata", "eventcast", stdout=output)
    assert json.loads(output.getvalue()) == []
    call_command("dumpdata", "--all", stdout=io.StringIO())


@pytest.mark.django_db
def test_manager_is_empty_without_a_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert list(Channel.objects.all()) == []
        assert not Channel._base_manager.filter(name="/a").exists()


def test_channel_is_printed_with_escapes() -> None:
    assert str(Channel(name="/a\n\u202e中")) == "/a\\n\\u202e中"


@pytest.mark.parametrize("name", ["/a b/中文", "//a", "/a%2Fb", "/a/.../b", "/\n"])
def test_url_leads_to_the_channel(name: str) -> None:
    assert channel_from_target(Channel(name=name).url.encode()) == name


@pytest.mark.parametrize(
    "apps",
    [["eventcast"], ["django.contrib.contenttypes", "django.contrib.auth", "eventcast"]],
    ids=["nothing else", "users"],
)
def test_app_needs_no_admin(apps: list[str]) -> None:
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_ADMIN.format(apps=apps)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "None 0 202"  # This process does not serve.
