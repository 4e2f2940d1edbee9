"""The README and docs/ say what the code has: every table is compared with the code, and every link leads somewhere."""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.core.checks import registry as checks_registry
from django.core.handlers.asgi import ASGIHandler
from django.urls.resolvers import RoutePattern

import eventcast.routing  # imported with it: every module that defines an error
from eventcast import authorization, checks, commandline, edits, urls
from eventcast.commandline import Subcommand
from eventcast.commandline.listen import Listen
from eventcast.commandline.tools import TOOLS, add_parsers
from eventcast.conf import SETTINGS, conf
from eventcast.engine import closing, notices
from eventcast.engine.messages import Message
from eventcast.exceptions import Refused
from eventcast.management.commands.eventcast import SUBCOMMANDS, Command
from eventcast.models import Channel
from eventcast.security import refusals as security_refusals
from eventcast_project import environment

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PACKAGE = ROOT / "eventcast"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
LARGEST_README = 8192  # bytes
"""Close codes of RFC 6455 that the code which reads frames sends, whatever it is."""


def section(document: str, heading: str) -> str:
    """The text under a heading of a file of docs/, up to the next heading."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/{document} has no section {heading!r}"
    return found[1]


def rows(document: str, heading: str) -> list[list[str]]:
    """The cells of the tables under a heading, without their heads."""
    tables = re.findall(r"(?:^\|.*\n)+", section(document, heading), re.MULTILINE)
    lines = [line for table in tables for line in table.splitlines()[2:]]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]


def example(document: str, heading: str) -> str:
    """The asgi.py under a heading of a file of docs/."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8").partition(f" {heading}\n")[2]
    found = re.search(r"^```python\n# asgi.py\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/{document} has no asgi.py under {heading!r}"
    return found[1]


def names(document: str, heading: str) -> set[str]:
    """The first cells of the tables under a heading, without backquotes."""
    return {first.strip("`") for first, *_ in rows(document, heading)}


def anchors(document: Path) -> set[str]:
    """What a link may have behind ``#``, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(document: Path) -> list[str]:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"\]\(([^)]+)\)", text)


def named_rows(document: str, heading: str) -> list[list[str]]:
    """The rows of a table of arguments, with the name of each as it is in code, but for those given by position."""
    return [[first.strip("`"), *rest] for first, *rest in rows(document, heading) if first.endswith("=`")]


def refusals(base: type[Refused] = Refused) -> set[type[Refused]]:
    return {error for child in base.__subclasses__() for error in {child, *refusals(child)}}


def options(subcommand: type[Subcommand | commandline.Tool]) -> set[str]:
    """The long names of the options, and NAME or the like for what is not an option."""
    (parser,) = add_parsers(argparse.ArgumentParser(), [subcommand], "somewhere")
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    return {(action.option_strings or [str(action.metavar)])[-1] for action in shown} - {"--help"}


def parameters(function: Callable[..., Any]) -> dict[str, str]:
    """The named parameters of a function with their defaults, as a table has them."""
    found = inspect.signature(function).parameters.values()
    return {each.name: repr(each.default) for each in found if each.kind is each.KEYWORD_ONLY}


def test_readme_is_short() -> None:
    assert len(README.read_bytes()) <= LARGEST_README


def test_pictures_are_small() -> None:
    pictures = list((ROOT / "docs" / "images").glob("*.png"))
    assert {picture.name for picture in pictures} == {"channel.png", "admin.png"}
    assert [picture.name for picture in pictures if picture.stat().st_size > 60_000] == []


def test_links_lead_somewhere() -> None:
    broken = []
    for document in DOCUMENTS:
        for link in links(document):
            target, _, anchor = link.partition("#")
            path = (document.parent / target).resolve() if target else document
            if link.startswith(("https://", "http://")):
                continue
            if not path.is_file() or (anchor and anchor not in anchors(path)):
                broken.append(f"{document.name}: {link}")
    assert broken == []


def test_every_document_is_one_click_from_the_readme_and_leads_back() -> None:
    linked = set(links(README))
    documents = [document for document in DOCUMENTS if document not in (README, ROOT / "docs" / "performance.md")]
    assert [document.name for document in documents if f"docs/{document.name}" not in linked] == []
    back = [any(link.startswith("../README.md") for link in links(document)) for document in documents]
    assert [document.name for document, leads in zip(documents, back, strict=True) if not leads] == []


def test_errors_are_those_of_the_code() -> None:
    documented = {(int(status), code.strip("`")) for status, code, _ in rows("protocol.md", "Errors")}
    assert documented == {(error.status, error.code) for error in refusals() if error.code != Refused.code}


def test_error_codes_have_one_status_each() -> None:
    codes = [code for _, code, _ in rows("protocol.md", "Errors")]
    assert len(codes) == len(set(codes))


def test_close_codes_are_those_of_the_code() -> None:
    values = [getattr(value, "code", value) for value in vars(closing).values()]
    in_code = {value for value in values if type(value) is int}
    assert {int(name) for name in names("protocol.md", "Close codes")} == in_code


def test_classes_of_authorization_are_those_of_the_code() -> None:
    classes = inspect.getmembers(authorization, inspect.isclass)
    found = {name for name, each in classes if issubclass(each, authorization.Authorization)}
    assert names("security.md", "Close it with one setting, and prove it") == found - {"Authorization"}


def test_loggers_of_refusals_are_those_of_the_code() -> None:
    in_code = {logger.name for logger in vars(security_refusals).values() if isinstance(logger, logging.Logger)}
    assert names("security.md", "Refusals in the log") == in_code


def test_own_paths_are_those_of_the_code() -> None:
    documented = set(re.findall(r"<mount>/(-/[\w./]+)", section("protocol.md", "Requests")))
    assert documented == {str(url.pattern) for url in urls.urlpatterns if isinstance(url.pattern, RoutePattern)}


def test_frames_of_eventcast_v1_are_those_of_the_code() -> None:
    lines = [Message("x", "/a", "paid").line(), Message(b"x", "/a").line()]
    texts = [
        notices.hello("/a", 20, publish=False),
        notices.heartbeat(),
        notices.lost(1),
        notices.bye(closing.GOING_AWAY),
    ]
    in_code = {key for line in lines for key in json.loads(line)} | {json.loads(text)["type"] for text in texts}
    assert names("protocol.md", "Frames of the server") == in_code


def test_example_of_eventcast_v1_has_frames_of_the_code() -> None:
    found = [json.loads(line) for line in section("protocol.md", "eventcast.v1").splitlines() if line.startswith("{")]
    told = {frame["type"]: set(frame) for frame in found if "type" in frame}
    texts = [
        notices.hello("/a", 20, publish=False),
        notices.heartbeat(),
        notices.lost(1),
        notices.bye(closing.GOING_AWAY),
    ]
    assert told == {frame["type"]: set(frame) for frame in map(json.loads, texts)}


def test_settings_are_those_of_the_code() -> None:
    assert names("settings.md", "The app") == set(SETTINGS)


def test_settings_have_the_defaults_of_the_code() -> None:
    for name, default, _ in rows("settings.md", "The app"):
        assert default.strip("`") == str(getattr(conf, name.strip("`"))), name


def test_environment_variables_are_those_of_the_code() -> None:
    source = "".join(path.read_text() for path in (ROOT / "eventcast_project").glob("*.py"))
    in_code = set(re.findall(r'"((?:DJANGO|DATABASE)_[A-Z_]+|EVENTCAST_[A-Z_]+[A-Z])"', source))
    in_code |= {environment.PREFIX + name for name in SETTINGS}
    assert names("settings.md", "Environment variables") == in_code - {"DJANGO_SETTINGS_MODULE"}


def test_environment_variables_of_a_deployment_are_documented() -> None:
    used = re.findall(r"\b(?:EVENTCAST|DJANGO|DATABASE)_[A-Z_]+", (ROOT / "docs" / "deployment.md").read_text("utf-8"))
    assert set(used) - names("settings.md", "Environment variables") == set()


def test_system_checks_are_those_of_the_code() -> None:
    ids = set(re.findall(r'id="(eventcast\.\w+)"', inspect.getsource(checks) + inspect.getsource(edits)))
    assert names("settings.md", "System checks") == ids


def test_system_checks_for_deployment_are_those_of_the_code() -> None:
    documented = {name.strip("`") for name, _, only in rows("settings.md", "System checks") if only}
    found = [check for check in checks_registry.registry.deployment_checks if check.__module__ == checks.__name__]
    assert documented == {id for check in found for id in re.findall(r"eventcast\.\w\d+", inspect.getsource(check))}


def test_arguments_of_the_router_are_those_of_the_code() -> None:
    documented = {name.rstrip("="): default.strip("`") for name, default, _ in named_rows("site.md", "The router")}
    in_code = parameters(eventcast.routing.EventcastRouter)
    assert documented.pop("consumer") == "EventcastConsumer.as_asgi()"  # made there of None
    assert {name: default.replace('"', "'") for name, default in documented.items()} == {
        name: default for name, default in in_code.items() if name != "consumer"
    }


@pytest.mark.parametrize(
    ("heading", "path", "root_path"),
    [("A site with Channels routes", "/live/orders/42", ""), ("Under a script name", "/app/live/orders/42", "/app")],
)
async def test_applications_of_the_site_let_a_subscriber_in(heading: str, path: str, root_path: str) -> None:
    site: dict[str, Any] = {"EventcastRouter": eventcast.routing.EventcastRouter, "django_application": ASGIHandler()}
    exec(example("site.md", heading), site)
    subscriber = WebsocketCommunicator(site["application"], path)
    subscriber.scope["root_path"] = root_path
    assert await subscriber.connect() == (True, None)
    await eventcast.apublish(path, {"paid": True})
    assert await subscriber.receive_json_from() == {"paid": True}
    await subscriber.disconnect()


@pytest.mark.parametrize(
    ("heading", "decorator"), [("The path", eventcast.listener), ("Heartbeats", eventcast.heartbeat)]
)
def test_options_of_listeners_are_those_of_the_code(heading: str, decorator: Callable[..., Any]) -> None:
    documented = {
        name.rstrip("="): default.strip("`").replace("10_000", "10000")
        for name, default, _ in named_rows("listeners.md", heading)
    }
    in_code = parameters(decorator)
    assert documented.pop("name") == "the function's"
    assert in_code.pop("name") == "None"
    assert documented == in_code


def test_subcommands_are_those_of_the_code() -> None:
    documented = set(re.findall(r"manage\.py eventcast (\w+)", section("client.md", "The command line")))
    assert documented == {subcommand.name for subcommand in SUBCOMMANDS}


def test_commands_of_every_document_are_there() -> None:
    documented = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"(?:manage\.py|python -m) eventcast (\w+)", document.read_text(encoding="utf-8"))
    }
    assert documented - {subcommand.name for subcommand in SUBCOMMANDS} == set()


@pytest.mark.parametrize("subcommand", SUBCOMMANDS, ids=lambda subcommand: subcommand.name)
def test_subcommand_has_a_line_of_help(subcommand: type[Subcommand]) -> None:
    usage = Command().create_parser("manage.py", "eventcast").format_help()
    assert (subcommand.__doc__ or "").splitlines()[0].split()[0] in usage


def test_options_of_serve_are_those_of_the_code() -> None:
    (serve,) = (subcommand for subcommand in SUBCOMMANDS if subcommand.name == "serve")
    short = {"-b": "--bind", "-p": "--port", "-u": "--unix-socket"}
    documented = {o for cell, _ in rows("deployment.md", "The command") for o in re.findall(r"`(-[-\w]+)", cell)}
    assert {short.get(option, option) for option in documented} == options(serve)


def test_options_of_listen_are_those_of_the_code() -> None:
    cells = [cell for cell, _ in rows("listeners.md", "The command")]
    documented = {option for cell in cells for option in re.findall(r"`(-[-\w]+|[A-Z]+\b)", cell)}
    assert documented - {"-H"} == options(Listen)


def test_exit_codes_are_those_of_the_code() -> None:
    assert {int(name) for name in names("client.md", "Exit codes")} == set(commandline.ExitCode)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_both_command_lines_have_every_tool(tool: type[commandline.Tool]) -> None:
    assert tool.name in {subcommand.name for subcommand in SUBCOMMANDS}


def test_permissions_of_the_admin_are_those_of_the_code() -> None:
    options = Channel._meta
    in_code = {f"{action}_channel" for action in options.default_permissions}
    in_code |= {codename for codename, _ in options.permissions}
    assert names("admin.md", "Permissions") == {f"eventcast.{codename}" for codename in in_code}


def test_attributes_of_the_element_are_those_of_the_code() -> None:
    source = (PACKAGE / "static" / "eventcast" / "event-cast.js").read_text(encoding="utf-8")
    in_code = set(re.findall(r'(?:this\.\w+Attribute\(|\[)"(\w+)"', source))
    assert names("browser.md", "The element") == in_code


def test_packages_and_modules_of_the_architecture_are_those_of_the_code() -> None:
    documented = {
        name
        for first, *_ in rows("architecture.md", "What is in the package")
        for name in re.findall("`([^`]+)`", first)
    }
    in_code = {f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__/"}
    in_code |= {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    assert documented | {"management/", "templates/", "static/", "templatetags/", "locale/"} == in_code


def test_files_of_the_architecture_are_there() -> None:
    files = [name.strip("`") for _, name in rows("architecture.md", "Where to look")]
    assert [name for name in files if not (PACKAGE / name).is_file()] == []
