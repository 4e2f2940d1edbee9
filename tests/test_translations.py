"""The Chinese texts: complete, compiled, and shown to those who read Chinese."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path

import pytest
from django.test import Client, override_settings
from django.utils import translation

import eventcast
from tests.admin.conftest import ClientOf, Room, client_of, room, superuser, url

__all__ = ["client_of", "room", "superuser"]

PACKAGE = Path(eventcast.__file__).parent
CATALOGS = PACKAGE / "locale" / "zh_Hans" / "LC_MESSAGES"
DOMAINS = ["django", "djangojs"]

STRING = r'"(?:[^"\\]|\\.)*"'
PLACEHOLDER = re.compile(r"%\(\w+\)s|%s|\{\w*\}|<[^>]+>")


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
    missing = (texts_of_python() | texts_of_templates()) - known["django"].keys()
    missing |= texts_of_scripts() - known["djangojs"].keys()
    assert missing == set(), "makemessages -l zh_Hans (and -d djangojs) in eventcast/, then compilemessages"
    assert [text for found in known.values() for text, translated in found.items() if not translated] == []


def test_every_translation_has_a_text() -> None:
    assert entries("djangojs").keys() - texts_of_scripts() == set()
    assert entries("django").keys() - texts_of_python() - texts_of_templates() == set()


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


def test_english_stays_english(client_of: ClientOf, room: Room) -> None:
    room.fill(["/a"])
    found = client_of("view").get(url("changelist")).content.decode()
    assert not re.search("[\u4e00-\u9fff]", found)
