"""The scenes of docs/scenes without a browser: who pays, who mails and texts, and what alarms the operators."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import re
import socket
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.live.conftest import Connect, Start, Talk
from tests.live.scenes import FOLDER, README, Stage, command
from tests.live.waiting import TIMEOUT, until

PAY, PAY_AGAIN = command("python manage.py pay --name 张三"), command("python manage.py pay --name 李四")
MAILS = command("python manage.py eventcast listen mail_the_company")
MAILS_PATIENTLY = f"{MAILS} --grace 600"
"""Hangs for as long as its mail server, also on a busy machine."""
TEXTS = command("python manage.py eventcast listen text_the_customer")
ALARMS = command("python manage.py eventcast listen alarm_the_operators")
BEAT = command("python manage.py eventcast beat")
WATCHDOG = command("python manage.py eventcast watchdog")

READY = " listens to "
"""What a listener says once it hears."""


def digest(folder: Path) -> str:
    """Changes with any byte of any source in a folder."""
    sources = sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()


def test_document_names_every_variable() -> None:
    settings = (FOLDER / "scenes" / "settings.py").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(SCENES_\w+)` \| (?:`(.*?)`)? ?\|", README, re.MULTILINE)
    assert documented == re.findall(r'"(SCENES_\w+)"(?:, "(.*?)")?', settings)


def test_links_of_the_document_lead_somewhere() -> None:
    headings = {heading.lower() for heading in re.findall(r"^## (.+)$", README, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        file, _, anchor = target.partition("#")
        assert target.startswith("http://127.0.0.1:8000/scenes/") or (FOLDER / file).exists(), target
        assert file or anchor in headings, target


@pytest.mark.parametrize("path", sorted((FOLDER / "payment").rglob("*.py")), ids=lambda path: path.name)
def test_payment_knows_neither_eventcast_nor_who_listens(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    others = {app.parent.name for app in FOLDER.glob("*/__init__.py")} - {"payment"} | {"eventcast"}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            assert not {module.split(".")[0] for module in modules} & others
    assert not re.search(r"eventcast|mailing|texting|send_mail|listen|gateway", source)


async def test_text_comes_whatever_becomes_of_the_mail(tmp_path: Path, start: Start) -> None:
    stage = Stage(tmp_path, start)
    before = digest(stage.folder / "payment")
    assert "is paid" in stage.run(PAY)
    assert stage.server.log.count("ERROR") == 0
    with socket.create_server(("127.0.0.1", 0)) as deaf, stage.running(TEXTS) as texting:
        deaf.settimeout(TIMEOUT)
        smtp = f"127.0.0.1:{deaf.getsockname()[1]}"
        with stage.running(MAILS_PATIENTLY, announcement=READY, SCENES_SMTP=smtp) as mailing:
            texting.wait_for_log(READY)
            stage.run(PAY_AGAIN)
            connection, _ = deaf.accept()  # a mail server that says nothing: the mail hangs
            with connection:
                await until(lambda: "李四" in stage.read("outbox/texts.txt"), "the text")
                mailing.terminate()
                stage.run(PAY_AGAIN.replace("李四", "王五"))
                await until(lambda: "王五" in stage.read("outbox/texts.txt"), "the text")
                assert mailing.process.poll() is None
                mailing.kill()
        assert stage.read("outbox/mail/*") == ""
        with stage.running(MAILS, announcement=READY):
            stage.run(PAY_AGAIN.replace("李四", "赵六"))
            await until(lambda: "赵六" in stage.read("outbox/texts.txt"), "the text")
            await until(lambda: "Questions to" in stage.read("outbox/mail/*"), "the mail")
    assert [line.split(", ")[0] for line in stage.read("outbox/texts.txt").splitlines()] == [
        f"+86 571 5550 0100: Dear {name}" for name in ("李四", "王五", "赵六")
    ]
    sent = stage.run(command("cat"))
    assert " is paid: 20.00 €.\n" in sent, "the mail"
    assert "received your 20.00 €" in sent, "the text"
    assert digest(stage.folder / "payment") == before == digest(FOLDER / "payment")


async def test_alarm_comes_once_with_the_silence_and_once_with_its_end(
    tmp_path: Path, start: Start, http: Talk, connect: Connect
) -> None:
    stage = Stage(tmp_path, start, SCENES_HEARTBEAT_TIMEOUT="2")
    beat = BEAT.replace("--every 5", "--every 0.1")
    watchdog = WATCHDOG.replace("--timeout 30", "--timeout 2")
    assert beat != BEAT
    assert watchdog != WATCHDOG

    async def both_watch(subscribers: int) -> None:
        await http(stage.server).wait_for_count("/heartbeat/logserver", subscribers)

    async def both_say(words: str) -> None:
        for alarms in ("watchdog.log", "outbox/alarms.txt"):
            await until(lambda alarms=alarms: re.search(words, stage.read(alarms)), f"{words!r} in {alarms}")

    with contextlib.ExitStack() as watching:
        with stage.running(beat):
            # Before anybody watches: a service that has never been heard is silent, too.
            await (await connect(stage.server, "/heartbeat/logserver")).receive()
            for each in (watchdog, ALARMS):
                watching.enter_context(stage.running(each))
            await both_watch(3)
            stage.server.stop()
            stage.serve()
            await both_watch(2)
        await both_say("is silent|has been silent")
        with stage.running(beat):
            await both_say("is alive|is back")
            await until(lambda: stage.read("outbox/mail/*").count("Subject: ") == 2, "two mails")
            # While it still beats, or there may be the next silence to tell of.
            printed, alarms = stage.read("watchdog.log"), stage.read("outbox/alarms.txt").splitlines()
    told = datetime.fromisoformat(alarms[0][:19]).replace(tzinfo=timezone.utc)
    assert abs(datetime.now(timezone.utc) - told) < timedelta(minutes=10)
    assert printed == "/heartbeat/logserver is silent\n/heartbeat/logserver is alive\n"
    assert [line[20:].split(" for")[0].split(" after")[0] for line in alarms] == [
        "The log server has been silent",
        "The log server is back",
    ]
