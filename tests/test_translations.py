"""The Chinese texts: complete, compiled, and shown to those who read Chinese."""

from __future__ import annotations

import ast
import gettext
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
from django.test import Client, RequestFactory, override_settings
from django.utils import translation

import eventcast
from eventcast.engine import closing
from eventcast.exceptions import ChannelTooLong, Forbidden, Sentence, Unauthorized
from eventcast.http import answers, pages
from tests.admin.conftest import ClientOf, Room, client_of, room, superuser, url
from tests.test_exceptions import REFUSALS

__all__ = ["client_of", "room", "superuser"]

PACKAGE = Path(eventcast.__file__).parent
CATALOGS = PACKAGE / "locale" / "zh_Hans" / "LC_MESSAGES"
DOMAINS = ["django", "djangojs"]

STRING = r'"(?:[^"\\]|\\.)*"'
PLACEHOLDER = re.compile(r"%\(\w+\)s|%s|\{[^}]*\}|<[^>]+>")

FOR_PROGRAMS = {"client", "commandline", "elsewhere", "head", "layers", "listeners", "server", "websocket"}
"""Rooms and files whose refusals people do not see in a browser: of Python, of broken HTTP, of handshakes."""
CODES_FOR_PROGRAMS = {
    "head_too_large", "invalid_handshake", "invalid_request", "request_timeout", "unsupported_version",
}  # fmt: skip


def entries(domain: str) -> dict[str, str]:
    """The translations in a catalog, by their texts; a plural's by the singular."""
    source = (CATALOGS / f"{domain}.po").read_text(encoding="utf-8")
    found = re.findall(
        rf"^msgid ({STRING})\n(?:msgid_plural {STRING}\n)?msgstr(?:\[0\])? ({STRING})$", source, re.MULTILINE
    )
    return {ast.literal_eval(text): ast.literal_eval(translated) for text, translated in found if text != '""'}


def texts_of_templates() -> set[str]:
    found: set[str] = set()
    for path in (PACKAGE / "templates").rglob("*.html"):
        source = path.read_text(encoding="utf-8")
        found |= {text for _, text in re.findall(r"\{% translate (['\"])(.*?)\1", source)}
        for trimmed, text in re.findall(r"\{% blocktranslate(.*?)%\}(.*?)\{% endblocktranslate %\}", source, re.DOTALL):
            text = re.sub(r"\{\{ (\w+) \}\}", r"%(\1)s", text)
            found.add(" ".join(text.split("\n")).strip() if "trimmed" in trimmed else text)
    return found


def texts_of_python() -> set[str]:
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if "django.utils.translation" in source:
            called = re.findall(rf"\b(?:_|n?gettext(?:_lazy)?)\(\s*({STRING})", source)
            found |= {ast.literal_eval(text) for text in called}
    return found


def sentences_of_refusals() -> dict[str, set[str]]:
    """The sentences that people see, or their templates, by the classes of the refusals; with ``Sentence`` the parts
    of others."""
    found: dict[str, set[str]] = defaultdict(set)
    classes = {kind.__name__ for kind in REFUSALS} | {"LoggedOut", "_ReadOnly", "Sentence"}
    for path in PACKAGE.rglob("*.py"):
        places = {path.relative_to(PACKAGE).parts[0], path.stem}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and not places & FOR_PROGRAMS:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in classes:
                    parts = [*ast.walk(node.args[0])]
                    assert not any(isinstance(part, ast.JoinedStr) for part in parts), (
                        f"{path}:{node.lineno}: a template and its values can be translated, an f-string cannot"
                    )
                    texts = [part.value for part in parts if isinstance(part, ast.Constant)]
                    found[name] |= {text for text in texts if text and isinstance(text, str)}
    return found


def texts_of_scripts() -> set[str]:
    found: set[str] = set()
    for path in (PACKAGE / "static").rglob("*.js"):
        called = re.findall(rf"\bn?gettext\(\s*({STRING})", path.read_text(encoding="utf-8"))
        found |= {ast.literal_eval(text) for text in called}
    return found


def test_texts_are_found() -> None:
    assert {"Live channels", "{} byte"} <= texts_of_python()
    assert {"Subscribers by patterns", "Go to %(name)s"} <= texts_of_templates()
    assert texts_of_scripts()


def test_every_text_is_translated() -> None:
    known = {domain: entries(domain) for domain in DOMAINS}
    missing = (texts_of_python() | texts_of_templates()).union(*sentences_of_refusals().values())
    missing -= known["django"].keys()
    missing |= texts_of_scripts() - known["djangojs"].keys()
    # The tool that collects texts does not know the sentences of refusals.
    assert missing == set(), "write them into the .po in eventcast/locale, then run compilemessages in eventcast/"
    assert [text for found in known.values() for text, translated in found.items() if not translated] == []


def test_every_translation_has_a_text() -> None:
    assert entries("djangojs").keys() - texts_of_scripts() == set()
    refusals = set().union(*sentences_of_refusals().values())
    assert entries("django").keys() - texts_of_python() - texts_of_templates() - refusals == set()


@pytest.mark.parametrize("domain", DOMAINS)
def test_translations_have_the_placeholders_of_their_texts(domain: str) -> None:
    for text, translated in entries(domain).items():
        assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(translated)), text


@pytest.mark.parametrize("domain", DOMAINS)
def test_compiled_catalog_is_the_present_one(domain: str) -> None:
    with (CATALOGS / f"{domain}.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for text, translated in entries(domain).items():
        assert translated in (compiled.gettext(text), compiled.ngettext(text, "", 2)), f"{text}: run compilemessages"


def test_no_translation_waits_for_a_look() -> None:
    assert [domain for domain in DOMAINS if ", fuzzy" in (CATALOGS / f"{domain}.po").read_text(encoding="utf-8")] == []


def test_every_refusal_has_a_chinese_sentence() -> None:
    found = sentences_of_refusals()
    assert {kind.code for kind in REFUSALS if not found[kind.__name__]} == CODES_FOR_PROGRAMS


def test_page_knows_why_the_server_ends_its_connection() -> None:
    source = (PACKAGE / "static" / "eventcast" / "connection.js").read_text(encoding="utf-8")
    reasons = {each.reason for each in vars(closing).values() if isinstance(each, closing.Closing)}
    assert {each for each in reasons if f'"{each}": gettext(' not in source} == {closing.ONLY_LISTENS.reason}


def test_refusal_is_told_in_the_language_of_its_reader() -> None:
    too_long = ChannelTooLong(
        "The channel's name takes {length} bytes of UTF-8, {longest} are allowed (EVENTCAST['MAX_CHANNEL_LENGTH']).",
        length=2000,
        longest=1024,
    )
    with translation.override("zh-hans"):
        assert pages.translated(too_long.detail).startswith("频道名称的 UTF-8 编码有 2000 字节，上限为 1024 字节")
        assert str(too_long).startswith("The channel's name takes 2000 bytes of UTF-8, 1024 are allowed")
    assert pages.translated(too_long.detail) == too_long.detail


def test_parts_of_a_refusal_are_translated() -> None:
    refusal = Forbidden("{user} may not {action}.", user="li {0}", action=Sentence("publish to this channel"))
    with translation.override("zh-hans"):
        assert pages.translated(refusal.detail) == "li {0} 无权在此频道发布。"


def test_sentence_of_a_site_stays_as_it_is() -> None:
    with translation.override("zh-hans"):
        assert pages.translated(Forbidden("只有 {50}% 的人。").detail) == "只有 {50}% 的人。"
        assert pages.translated(Forbidden("").detail) == ""


@pytest.mark.parametrize(
    ("language", "detail"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "没有这个密钥。"),
        ("zh-hans", "没有这个密钥。"),
        ("zh-TW", "没有这个密钥。"),  # as Django has it
        ("de", "There is no such key."),
        ("*", "There is no such key."),
        (None, "There is no such key."),
    ],
)
def test_json_is_in_the_language_that_is_asked_for(language: str | None, detail: str) -> None:
    request = RequestFactory().get("/a", headers={"Accept-Language": language} if language else None)
    with override_settings(LANGUAGES=[("en", "English"), ("zh-hans", "Chinese")]):
        answer = answers.refusal_answer(Unauthorized("There is no such key."), request)
    assert json.loads(answer.content) == {"error": "unauthorized", "detail": detail}
    assert answer.has_header("Vary") is ("密钥" in detail)


@override_settings(LANGUAGE_CODE="zh-hans")
def test_programs_get_english_on_a_chinese_site(caplog: pytest.LogCaptureFixture) -> None:
    with translation.override("zh-hans"):
        answer = answers.refused(RequestFactory().get("/a"), Unauthorized("There is no such key."))
    assert json.loads(answer.content)["detail"] == "There is no such key."
    assert caplog.messages[-1].endswith("There is no such key.")


def test_admin_speaks_chinese(superuser: Client, room: Room) -> None:
    room.fill(["/a"])
    with override_settings(LANGUAGE_CODE="zh-hans"):
        translation.activate("zh-hans")
        found = superuser.get(url("changelist")).content.decode()
        page = superuser.get(url("change", "/a")).content.decode()
        headers = {"accept": "application/json"}
        answer = superuser.post(url("publish", "/a"), {"data": "x"}, headers=headers).json()
        translation.deactivate()
    assert all(text in found for text in ("活跃频道", "，订阅者：", "最近消息", 'lang="zh-hans"'))
    assert "全部断开" in page
    assert answer == {"message": "已向 1 个订阅者发布一条 1 字节的文本消息。"}


@override_settings(LANGUAGE_CODE="zh-hans")
def test_refusal_in_the_admin_is_chinese(superuser: Client) -> None:
    headers = {"accept": "application/json", "accept-language": "zh-hans"}
    answer = superuser.post(url("publish", "/a"), {"no": "data"}, headers=headers)
    assert answer.json()["detail"].startswith("请求中没有消息。")
    page = superuser.post(url("publish", "/a"), {"no": "data"}, follow=True)
    assert "请求中没有消息。" in page.content.decode()


def test_english_stays_english(client_of: ClientOf, room: Room) -> None:
    room.fill(["/a"])
    found = client_of("view").get(url("changelist")).content.decode()
    assert not re.search("[\u4e00-\u9fff]", found)
