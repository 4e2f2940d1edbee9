"""Channels' channel layer specification, clause by clause: messages, and the names of channels and groups."""

from __future__ import annotations

import string

import pytest

from eventcast.layers import InMemoryChannelLayer


@pytest.fixture
def layer() -> InMemoryChannelLayer:
    return InMemoryChannelLayer()


# --- Messages -------------------------------------------------------------------------------------------------------


async def test_message_arrives_with_every_type(layer: InMemoryChannelLayer) -> None:
    message = {
        "type": "test",
        "bytes": b"\x00\xff",
        "text": "张三",
        "integers": [0, 2**63 - 1, -(2**63)],
        "float": 1.5e300,
        "dict": {"a": {"b": [True, False, None]}},
        "none": None,
    }
    await layer.send("a", message)
    assert await layer.receive("a") == message


@pytest.mark.parametrize("message", [None, "text", b"", [("type", "x")], 1])
async def test_send_refuses_message_that_is_no_dict(layer: InMemoryChannelLayer, message: object) -> None:
    with pytest.raises(TypeError, match="must be a dict"):
        await layer.send("a", message)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a dict"):
        await layer.group_send("a", message)  # type: ignore[arg-type]


async def test_receive_returns_empty_dict(layer: InMemoryChannelLayer) -> None:
    await layer.send("a", {})
    assert await layer.receive("a") == {}


# --- Strings and Unicode --------------------------------------------------------------------------------------------

GOOD_NAMES = [string.ascii_letters, string.digits, "-_.", "a", "a" * 99]
BAD_NAMES = ["", "a\n", "a b", "a/b", "a:b", "a%", "a?", "é", "张", "١٢", "a\x00", "!", "a" * 101, b"a", None, 1]


@pytest.mark.parametrize("name", [*GOOD_NAMES, "a!", "a!b", "a!-_.9"])
async def test_channel_name_is_accepted(layer: InMemoryChannelLayer, name: str) -> None:
    await layer.send(name, {"number": 1})
    assert await layer.receive(name) == {"number": 1}


@pytest.mark.parametrize("name", [*BAD_NAMES, "a!b!c", "a!é", "a!١", "a!b\n", "!b"])
async def test_channel_name_is_refused(layer: InMemoryChannelLayer, name: str) -> None:
    for call in (layer.send(name, {}), layer.receive(name), layer.group_add("a", name), layer.group_discard("a", name)):
        with pytest.raises(TypeError):
            await call
    assert layer.statistics().channels == 0


@pytest.mark.parametrize("name", GOOD_NAMES)
async def test_group_name_is_accepted(layer: InMemoryChannelLayer, name: str) -> None:
    await layer.group_add(name, "a")
    await layer.group_send(name, {"number": 1})
    assert await layer.receive("a") == {"number": 1}
    await layer.group_discard(name, "a")


@pytest.mark.parametrize("name", [*BAD_NAMES, "a!", "a!b"])
async def test_group_name_is_refused(layer: InMemoryChannelLayer, name: str) -> None:
    for call in (layer.group_send(name, {}), layer.group_add(name, "a"), layer.group_discard(name, "a")):
        with pytest.raises(TypeError):
            await call
    with pytest.raises(TypeError):
        layer.group_send_nowait(name, {})
    assert layer.statistics().channels == layer.statistics().groups == 0


async def test_name_may_have_a_hundred_characters(layer: InMemoryChannelLayer) -> None:
    name = "a" * 100
    await layer.group_add(name, name)
    await layer.group_send(name, {"number": 1})
    assert await layer.receive(name) == {"number": 1}
    with pytest.raises(TypeError, match="< 101"):
        await layer.send("a" * 101, {})
    with pytest.raises(TypeError, match="< 101"):
        await layer.group_send("a" * 101, {})
