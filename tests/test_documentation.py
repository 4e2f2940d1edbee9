"""The README tells what there is: every setting, code, variable, option and command, and none that is not there."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

import eventcast.routing  # noqa: F401  every module that defines an error is loaded with it
from eventcast import commandline
from eventcast.commandline.subcommand import Subcommand
from eventcast.commandline.tools import TOOLS
from eventcast.conf import Conf, conf
from eventcast.exceptions import Refused
from eventcast.management.commands.eventcast import SUBCOMMANDS, Command
from eventcast_project import environment

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """The text under a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"README.md has no section {heading!r}"
    return found[1]


def rows(heading: str) -> list[list[str]]:
    """The cells of the tables under a heading, without their heads."""
    tables = re.findall(r"(?:^\|.*\n)+", section(heading), re.MULTILINE)
    lines = [line for table in tables for line in table.splitlines()[2:]]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]


def refusals(base: type[Refused] = Refused) -> set[type[Refused]]:
    return {error for child in base.__subclasses__() for error in {child, *refusals(child)}}


def options(subcommand: type[Subcommand]) -> set[str]:
    parser = argparse.ArgumentParser(add_help=False)
    subcommand.add_arguments(parser)
    return {action.option_strings[-1] for action in parser._actions}


def test_errors_are_those_of_the_code() -> None:
    documented = {(int(status), code.strip("`")) for status, code, _ in rows("Errors")}
    assert documented == {(error.status, error.code) for error in refusals() if error.code != Refused.code}


def test_error_codes_have_one_status_each() -> None:
    codes = [code for _, code, _ in rows("Errors")]
    assert len(codes) == len(set(codes))


def test_settings_are_those_of_the_code() -> None:
    documented = {name.strip("`") for name, _, _ in rows("Settings")}
    assert documented == {name for name in vars(Conf) if name.isupper()} - environment.DERIVED


def test_settings_have_the_defaults_of_the_code() -> None:
    for name, default, _ in rows("Settings"):
        assert default.strip("`") == str(getattr(conf, name.strip("`"))), name


def test_environment_variables_are_those_of_the_code() -> None:
    source = "".join(path.read_text() for path in (ROOT / "eventcast_project").glob("*.py"))
    in_code = set(re.findall(r'"((?:DJANGO|DATABASE)_[A-Z_]+|EVENTCAST_[A-Z_]+[A-Z])"', source))
    in_code |= {environment.PREFIX + name for name in environment.eventcast_types()}
    documented = {name.strip("`") for name, _, _ in rows("Environment variables")}
    assert documented == in_code - {"DJANGO_SETTINGS_MODULE"}


def test_every_setting_has_an_environment_variable() -> None:
    documented = {name.strip("`") for name, _, _ in rows("Settings")}
    assert documented == set(environment.eventcast_types())


def test_subcommands_are_those_of_the_code() -> None:
    documented = set(re.findall(r"manage\.py eventcast (\w+)", README))
    assert documented == {subcommand.name for subcommand in SUBCOMMANDS}


@pytest.mark.parametrize("subcommand", SUBCOMMANDS, ids=lambda subcommand: subcommand.name)
def test_subcommand_has_a_line_of_help(subcommand: type[Subcommand]) -> None:
    usage = Command().create_parser("manage.py", "eventcast").format_help()
    assert (subcommand.__doc__ or "").splitlines()[0].split()[0] in usage


def test_options_of_serve_are_those_of_the_code() -> None:
    (serve,) = (subcommand for subcommand in SUBCOMMANDS if subcommand.name == "serve")
    short = {"-b": "--bind", "-p": "--port", "-u": "--unix-socket"}
    documented = {option for cell, _ in rows("Deployment") for option in re.findall(r"`(-[-\w]+)", cell)}
    assert {short.get(option, option) for option in documented} == options(serve)


def test_exit_codes_are_those_of_the_code() -> None:
    documented = {int(code) for code, _ in rows("From the command line and from Python")}
    assert documented == set(commandline.ExitCode)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_both_command_lines_have_every_tool(tool: type[commandline.Tool]) -> None:
    assert tool.name in {subcommand.name for subcommand in SUBCOMMANDS}


def test_links_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or target.removeprefix("#") in anchors or (ROOT / target).is_file(), target
