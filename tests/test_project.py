"""The standalone server's settings: environment variables are converted, or refused with their names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from eventcast.conf import CLOSING, SETTINGS
from eventcast_project import environment

ROOT = Path(__file__).resolve().parent.parent


def own_environment(**variables: str) -> dict[str, str]:
    """This process's environment without the server's own variables, and with ``variables``."""
    configures = re.compile(r"(DJANGO|DATABASE|EVENTCAST)_")
    return {name: value for name, value in os.environ.items() if not configures.match(name)} | variables


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *arguments],
        cwd=ROOT,
        env=own_environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
    )


def setting(name: str, *arguments: str, **variables: str) -> str:
    """A setting of the standalone server in a new process, as Python prints it."""
    program = f"from django.conf import settings; print(settings.{name})"
    finished = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env=own_environment(DJANGO_SETTINGS_MODULE="eventcast_project.settings", **variables),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return finished.stdout.strip()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(os.environ) - set(own_environment()):
        monkeypatch.delenv(name)


# --- environment ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["1", "true", "Yes", "ON"])
def test_flag_reads_yes(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DJANGO_HTTPS", value)
    assert environment.flag("DJANGO_HTTPS", default=False) is True


@pytest.mark.parametrize("value", ["0", "false", "No", "OFF"])
def test_flag_reads_no(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DJANGO_HTTPS", value)
    assert environment.flag("DJANGO_HTTPS", default=True) is False


@pytest.mark.parametrize("default", [True, False])
def test_flag_takes_empty_for_unset(monkeypatch: pytest.MonkeyPatch, default: bool) -> None:
    monkeypatch.setenv("DJANGO_HTTPS", " ")
    assert environment.flag("DJANGO_HTTPS", default=default) is default


def test_flag_refuses_rubbish_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_HTTPS", "maybe")
    with pytest.raises(ImproperlyConfigured, match="DJANGO_HTTPS='maybe'"):
        environment.flag("DJANGO_HTTPS", default=False)


def test_choice_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_LANGUAGE_CODE", "zh-hans")
    assert environment.choice("DJANGO_LANGUAGE_CODE", "en", ["en", "zh-hans"]) == "zh-hans"


def test_choice_refuses_rubbish_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_LANGUAGE_CODE", "klingon")
    with pytest.raises(ImproperlyConfigured, match="DJANGO_LANGUAGE_CODE='klingon' is none of en, zh-hans"):
        environment.choice("DJANGO_LANGUAGE_CODE", "en", ["en", "zh-hans"])


@pytest.mark.parametrize("value", ["Asia/Shanghia", "../etc/passwd", "/etc/passwd", "UTC+8"])
def test_time_zone_refuses_rubbish_by_name(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DJANGO_TIME_ZONE", value)
    with pytest.raises(ImproperlyConfigured, match=f"DJANGO_TIME_ZONE={re.escape(repr(value))} is not a time zone"):
        environment.time_zone("DJANGO_TIME_ZONE", "UTC")


def test_language_and_time_zone_come_from_the_environment() -> None:
    assert setting("LANGUAGE_CODE", DJANGO_LANGUAGE_CODE="zh-hans") == "zh-hans"
    assert setting("TIME_ZONE", DJANGO_TIME_ZONE="Asia/Shanghai") == "Asia/Shanghai"


def test_words_drops_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_ALLOWED_HOSTS", "a.example, b.example,,")
    assert environment.words("DJANGO_ALLOWED_HOSTS", "") == ["a.example", "b.example"]


def test_eventcast_settings_are_empty_by_default() -> None:
    assert environment.eventcast_settings() == {}


def test_eventcast_settings_have_their_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTCAST_MAX_MESSAGE_SIZE", "65536")
    monkeypatch.setenv("EVENTCAST_SLOW_SUBSCRIBERS", "drop")
    monkeypatch.setenv("EVENTCAST_CHANNEL_PAGE", "off")
    assert environment.eventcast_settings() == {
        "MAX_MESSAGE_SIZE": 65536, "SLOW_SUBSCRIBERS": "drop", "CHANNEL_PAGE": False,
    }  # fmt: skip


def test_eventcast_settings_have_a_variable_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[]")
    values = {bool: "1", int: "7", str: "text", list: "one, two"}
    for name, setting in SETTINGS.items():
        value = str(tmp_path / "list.json") if name in CLOSING else values[type(setting.default)]
        monkeypatch.setenv(f"EVENTCAST_{name}", value)
    assert set(environment.eventcast_settings()) == set(SETTINGS)


def test_eventcast_settings_refuse_rubbish_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTCAST_MAX_MESSAGE_SIZE", "1 MB")
    with pytest.raises(ImproperlyConfigured, match="EVENTCAST_MAX_MESSAGE_SIZE='1 MB' is not a whole number"):
        environment.eventcast_settings()


def test_eventcast_settings_read_lists_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text('[{"key": "0123456789abcdef"}]')
    monkeypatch.setenv("EVENTCAST_KEYS", str(tmp_path / "keys.json"))
    monkeypatch.setenv("EVENTCAST_AUTHORIZATION", "eventcast.authorization.Keys")
    assert environment.eventcast_settings()["KEYS"] == [{"key": "0123456789abcdef"}]


@pytest.mark.parametrize("content", [None, '["secret"', '{"key": "secret"}', b"\xffsecret"])
def test_eventcast_settings_refuse_file_without_a_list_and_do_not_show_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | bytes | None
) -> None:
    if content is not None:
        (tmp_path / "keys.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv("EVENTCAST_KEYS", str(tmp_path / "keys.json"))
    with pytest.raises(ImproperlyConfigured, match="EVENTCAST_KEYS") as refused:
        environment.eventcast_settings()
    assert "secret" not in str(refused.value)


def test_eventcast_settings_warn_of_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTCAST_MAX_MESAGE_SIZE", "65536")
    with pytest.warns(UserWarning, match=r"EVENTCAST_MAX_MESAGE_SIZE is not a setting .* EVENTCAST_MAX_MESSAGE_SIZE"):
        assert environment.eventcast_settings() == {}


def test_eventcast_settings_refuse_keys_without_authorization(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text('[{"key": "0123456789abcdef"}]')
    monkeypatch.setenv("EVENTCAST_KEYS", str(tmp_path / "keys.json"))
    with pytest.raises(ImproperlyConfigured, match="EVENTCAST_KEYS has no effect: EVENTCAST_AUTHORIZATION is"):
        environment.eventcast_settings()


@pytest.mark.filterwarnings("ignore:EVENTCAST_AUTHORISATION is not a setting")
def test_eventcast_settings_refuse_a_misspelt_authorization(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTCAST_AUTHORISATION", "eventcast.authorization.Tokens")
    with pytest.raises(
        ImproperlyConfigured, match="EVENTCAST_AUTHORISATION is not a setting: EVENTCAST_AUTHORIZATION is"
    ):
        environment.eventcast_settings()


@pytest.mark.filterwarnings("ignore:EVENTCAST_")
def test_eventcast_settings_ignore_variables_of_kubernetes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EVENTCAST_PORT", "EVENTCAST_SERVICE_HOST", "EVENTCAST_AUTH_SERVICE_HOST"):  # Kubernetes'
        monkeypatch.setenv(name, "x")
    assert environment.eventcast_settings() == {}


def test_databases_are_sqlite_by_default(tmp_path: Path) -> None:
    default = environment.databases(tmp_path)["default"]
    assert default == {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db.sqlite3")}


def test_databases_take_sqlite_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_PATH", "/var/lib/eventcast/db")
    assert environment.databases(tmp_path)["default"]["NAME"] == "/var/lib/eventcast/db"


def test_databases_take_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("dj_database_url")
    monkeypatch.setenv("DATABASE_URL", "postgres://eventcast:secret@db.example/events")
    default = environment.databases(tmp_path)["default"]
    assert (default["ENGINE"], default["HOST"]) == ("django.db.backends.postgresql", "db.example")


def test_databases_refuse_rubbish_without_showing_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("dj_database_url")
    monkeypatch.setenv("DATABASE_URL", "oops://eventcast:secret@db.example/events")
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL") as refused:
        environment.databases(tmp_path)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value", "package"),
    [
        ("DATABASE_URL", "postgres://db.example/events", "dj-database-url"),
        ("EVENTCAST_REDIS_URL", "redis://127.0.0.1", "redis"),
    ],
)
def test_optional_package_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str, package: str
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImproperlyConfigured, match=rf"{variable} needs the package {package}: pip install"):
        (environment.databases(tmp_path), environment.channel_layers())


def test_channel_layer_is_memory_by_default() -> None:
    assert environment.channel_layers() == {"eventcast": {"BACKEND": "eventcast.layers.InMemoryChannelLayer"}}


def test_channel_layer_is_redis_with_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTCAST_REDIS_URL", "redis://127.0.0.1:6379/0")
    layer = environment.channel_layers()["eventcast"]
    assert layer["BACKEND"] == "eventcast.layers.RedisChannelLayer"
    assert layer["CONFIG"] == {"hosts": ["redis://127.0.0.1:6379/0"]}


def test_channel_layer_refuses_other_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTCAST_REDIS_URL", "127.0.0.1:6379")
    with pytest.raises(ImproperlyConfigured, match="EVENTCAST_REDIS_URL"):
        environment.channel_layers()


# --- settings ---------------------------------------------------------------------------------------------------------


def test_debug_is_off() -> None:
    assert setting("DEBUG") == "False"


def test_debug_is_on_under_runserver() -> None:
    assert setting("DEBUG", "runserver") == "True"


def test_debug_can_be_off_under_runserver() -> None:
    assert setting("DEBUG", "runserver", DJANGO_DEBUG="0") == "False"


def test_secret_key_differs_from_start_to_start() -> None:
    assert setting("SECRET_KEY") != setting("SECRET_KEY")


def test_secret_key_is_taken_from_environment() -> None:
    assert setting("SECRET_KEY", DJANGO_SECRET_KEY="mine") == "mine"


@pytest.mark.parametrize("https", ["0", "1"])
def test_deployment_checks_are_clean(https: str) -> None:
    closed = {"EVENTCAST_AUTHORIZATION": "eventcast.authorization.Tokens"}
    finished = manage("check", "--deploy", "--fail-level", "WARNING", DJANGO_HTTPS=https, **closed)
    assert finished.returncode == 0, finished.stderr


def test_deployment_checks_find_an_open_server() -> None:
    finished = manage("check", "--deploy", "--fail-level", "WARNING")
    assert re.findall(r"\((eventcast\.\w+)\)", finished.stderr) == ["eventcast.W004"]


def test_redis_passes_the_checks() -> None:
    finished = manage("check", "--fail-level", "WARNING", EVENTCAST_REDIS_URL="redis://127.0.0.1:6379/0")
    assert finished.returncode == 0, finished.stderr


def test_no_migration_is_missing() -> None:
    finished = manage("makemigrations", "--check", "--dry-run", DATABASE_PATH=":memory:")
    assert finished.returncode == 0, finished.stdout


def test_manage_reports_rubbish_in_one_line() -> None:
    finished = manage("check", EVENTCAST_MAX_MESSAGE_SIZE="big")
    assert finished.returncode == 1
    assert finished.stderr == "Configuration error: EVENTCAST_MAX_MESSAGE_SIZE='big' is not a whole number\n"
